"""The independent client: one request on stdin, one JSON object on stdout.

    .venv-anchorpy/bin/python -I programs/anchorpy <request.json

It shares nothing with the packages of this project: anchorpy encodes, signs, sends and decodes,
and knows the program by its legacy IDL alone. Where it and our own table of the program agree, two
readings made apart agree. `request` says what can be asked. Exit code 0: done (or it would
succeed); 1: refused, unreachable, a key that cannot be used; 2: the request itself is wrong.
"""

import asyncio
import sys

from account import read_accounts
from encode import as_text, encode, errors_by_number, in_json, open_program
from failure import Failure
from node import connected
from request import Fields, read_instructions, read_request
from send import send, simulate


async def answer(request: Fields) -> dict[str, object]:
    """Do what is asked. Raises `Failure`."""
    async with connected(request) as connection:
        program = open_program(request, connection)
        match request.text("do"):
            case "names":
                return {
                    "instructions": sorted(program.instruction),
                    "accounts": sorted(program.account),
                    "errors": {str(number): n for number, n in errors_by_number(program).items()},
                }
            case "encode":
                wanted = read_instructions(request, program.program_id)
                return {"instructions": [in_json(encode(program, one)) for one in wanted]}
            case "simulate":
                return await simulate(program, request)
            case "send":
                return await send(program, request)
            case _:
                return await read_accounts(program, request)


def main() -> int:
    """Read, do, answer."""
    try:
        told, exit_code = asyncio.run(answer(read_request(sys.stdin.buffer.read()))), 0
    except Failure as failure:
        told, exit_code = failure.answer, failure.exit_code
    sys.stdout.write(as_text(told) + "\n")
    return exit_code


sys.exit(main())
