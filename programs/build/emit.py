"""Step 3: from bitcode to one BPF object, through LLVM's C interface.

Every error LLVM reports is fatal but one kind: that a copy became a call to `memcpy` and its like,
which our own `compiler_builtins` answers. The stack frame is 4,096 bytes, as on chain.
"""

import ctypes
from collections.abc import Callable
from pathlib import Path

from programs.build.failure import BuildRefused
from programs.build.sysroot import CPU

_FEATURES = b"+allows-misaligned-mem-access"
_HARMLESS = "A call to built-in function 'mem"
_OPTIMISE_FULLY = 3
_OBJECT_FILE = 1
_ERROR = 0
_Pointer = ctypes.c_void_p
_HANDLER = ctypes.CFUNCTYPE(None, _Pointer, _Pointer)


class _Llvm:
    """The functions used, each with its C signature."""

    def __init__(self, library: Path) -> None:
        self._library = ctypes.CDLL(str(library))
        for part in ("TargetInfo", "Target", "TargetMC", "AsmPrinter"):
            self.function(f"LLVMInitializeBPF{part}", None)()
        words = (ctypes.c_char_p * 2)(b"emit", b"-bpf-stack-size=4096")
        parse = self.function(
            "LLVMParseCommandLineOptions",
            None,
            ctypes.c_int,
            ctypes.POINTER(ctypes.c_char_p),
            ctypes.c_char_p,
        )
        parse(2, words, b"")

    def function(self, name: str, result: object, *arguments: object) -> Callable[..., int]:
        found = getattr(self._library, name)
        found.restype = result
        found.argtypes = list(arguments)
        return found

    def check(self, failed: int, what: str, message: ctypes.c_char_p | None = None) -> None:
        if failed:
            told = message.value if message is not None else None
            raise BuildRefused(f"LLVM: {what}: {(told or b'').decode(errors='replace')}")


def emit_object(library: Path, bitcode: Path, target: Path) -> None:
    """Compile the bitcode into a BPF object file; raises `BuildRefused` on any diagnostic."""
    llvm = _Llvm(library)
    context = llvm.function("LLVMContextCreate", _Pointer)()
    complaints: list[str] = []
    handler = _diagnostics(llvm, complaints)
    llvm.function("LLVMContextSetDiagnosticHandler", None, _Pointer, _HANDLER, _Pointer)(
        context, handler, None
    )
    module = _parse(llvm, context, bitcode)
    machine = _target_machine(llvm, module)
    message = ctypes.c_char_p()
    emit = llvm.function(
        "LLVMTargetMachineEmitToFile",
        ctypes.c_int,
        _Pointer,
        _Pointer,
        ctypes.c_char_p,
        ctypes.c_int,
        _Pointer,
    )
    failed = emit(machine, module, str(target).encode(), _OBJECT_FILE, ctypes.byref(message))
    llvm.check(failed, "emitting", message)
    if complaints:
        raise BuildRefused("LLVM:\n" + "\n".join(complaints))


def _diagnostics(llvm: _Llvm, complaints: list[str]) -> object:
    describe = llvm.function("LLVMGetDiagInfoDescription", _Pointer, _Pointer)
    severity = llvm.function("LLVMGetDiagInfoSeverity", ctypes.c_int, _Pointer)

    def note(diagnostic: int, _context: int) -> None:
        text = ctypes.string_at(describe(diagnostic)).decode(errors="replace")
        if severity(diagnostic) == _ERROR and _HARMLESS not in text:
            complaints.append(text.strip())

    return _HANDLER(note)


def _parse(llvm: _Llvm, context: int, bitcode: Path) -> ctypes.c_void_p:
    buffer, message, module = _Pointer(), ctypes.c_char_p(), _Pointer()
    read = llvm.function(
        "LLVMCreateMemoryBufferWithContentsOfFile",
        ctypes.c_int,
        ctypes.c_char_p,
        _Pointer,
        _Pointer,
    )
    failed = read(str(bitcode).encode(), ctypes.byref(buffer), ctypes.byref(message))
    llvm.check(failed, "reading", message)
    parse = llvm.function("LLVMParseBitcodeInContext2", ctypes.c_int, _Pointer, _Pointer, _Pointer)
    llvm.check(parse(context, buffer, ctypes.byref(module)), "parsing")
    return module


def _target_machine(llvm: _Llvm, module: ctypes.c_void_p) -> int:
    triple = llvm.function("LLVMGetTarget", ctypes.c_char_p, _Pointer)(module)
    target, message = _Pointer(), ctypes.c_char_p()
    find = llvm.function(
        "LLVMGetTargetFromTriple", ctypes.c_int, ctypes.c_char_p, _Pointer, _Pointer
    )
    llvm.check(find(triple, ctypes.byref(target), ctypes.byref(message)), "target", message)
    create = llvm.function(
        "LLVMCreateTargetMachine",
        _Pointer,
        _Pointer,
        *(ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p),
        *(ctypes.c_int, ctypes.c_int, ctypes.c_int),
    )
    return create(target, triple, CPU.encode(), _FEATURES, _OPTIMISE_FULLY, 0, 0)
