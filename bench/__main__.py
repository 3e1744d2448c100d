"""``python -m bench COMMAND``: measurements."""

import typer

from bench.drain import drain_command

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    help="Measure billing-service on a broker and a database that are started for it.",
)
app.command("drain")(drain_command)


@app.callback()
def main() -> None:
    """Keep the name of the command, even of a single one."""


if __name__ == "__main__":
    app()
