"""``python -m bench COMMAND``: measurements."""

import typer

from bench.bad_rows import bad_rows_command
from bench.compare.command import compare_command
from bench.drain import drain_command
from bench.load import load_command
from bench.peers.command import peers_command
from bench.tune.command import tune_command
from bench.writes.command import writes_command

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    help="Measure billing-service on a broker and a database that are started for it.",
)
app.command("drain")(drain_command)
app.command("load")(load_command)
app.command("peers")(peers_command)
app.command("writes")(writes_command)
app.command("bad-rows")(bad_rows_command)
app.command("tune")(tune_command)
app.command("compare")(compare_command)


if __name__ == "__main__":
    app()
