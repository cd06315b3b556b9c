"""`pod admin`: what the owners do on chain, one file per subject.

overview   everything governed, read at one slot     tables, facts   how it is shown
plans      a proposal for each word, in words        road            from a word to its signature
role, handover, params, pausing, seizure, till, opening, show        the words
"""

import typer

from cli.admin.handover import handover
from cli.admin.opening import opening
from cli.admin.params import params
from cli.admin.pausing import pausing
from cli.admin.role import role
from cli.admin.seizure import seizure
from cli.admin.show import showing
from cli.admin.till import till

__all__ = ["admin"]

admin = typer.Typer(
    no_args_is_help=True, help="For the owners: roles, parameters, pauses, seizures, the till."
)
for words in (showing, opening, pausing, till):
    admin.add_typer(words)
for name, words in (
    ("role", role),
    ("handover", handover),
    ("params", params),
    ("seizure", seizure),
):
    admin.add_typer(words, name=name)
