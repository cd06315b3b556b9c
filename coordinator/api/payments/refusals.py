"""Why a payment request is refused, in words for the person who holds the phone.

A wallet shows at least the first 80 characters of a message, so each says the thing itself first.
"""

from settlement.errors import Conflict, NotFound, Refused, Unavailable


class QueryInvalid(Refused):
    """this payment link is not right"""


class CodeUnknown(NotFound):
    """nobody has this code"""


class WrongBeneficiary(Refused):
    """a bond counts only for the wallet that its operator enrolled with"""


class NotTheBeneficiary(Refused):
    """only the wallet that gets this bond back can do this"""


class NoUsdcAccount(Refused):
    """this wallet has no USDC account: get USDC into it first"""


class UsdcAccountFrozen(Refused):
    """this wallet's USDC account is frozen by the issuer of USDC"""


class TooLittleUsdc(Refused):
    """this wallet has too little USDC"""


class TooLittleSol(Refused):
    """this wallet has too little SOL for the network's fee and rent"""


class BondExists(Conflict):
    """this bond is posted already: nothing is owed"""


class BondClosed(Conflict):
    """the bond of this code is over: enroll again for a new code"""


class BondPaidAlready(Conflict):
    """money for this bond has arrived and is being put into escrow: nothing is owed"""


class NoBond(NotFound):
    """there is no bond of this code on chain"""


class WrongBondState(Conflict):
    """the bond is not in the state for this"""


class CooldownNotOver(Conflict):
    """the bond's cooldown is not over"""


class SeizureOpen(Conflict):
    """a seizure of this bond is open: it cannot be released before that is decided"""


class Paused(Unavailable):
    """this is paused on chain for the moment: try again later"""


class VaultFrozen(Unavailable):
    """our USDC account is frozen by the issuer of USDC: nothing can be paid in or out"""


class ChainUnavailable(Unavailable):
    """the Solana network does not answer us right now: try again"""


class ProgramNotReady(Unavailable):
    """the program of this deployment is not set up on its chain"""


class PaymentsNotOffered(Unavailable):
    """payment requests are not offered here: this coordinator has no Solana RPC"""


class LinkNotSecure(Unavailable):
    """payment links are not offered here: wallets take https links only"""
