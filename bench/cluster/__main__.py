"""``python -m bench.cluster``."""

import random
from pathlib import Path
from typing import Annotated, Final

import typer

from bench.chaos.conduct import RESULTS, conduct
from bench.cluster.faults import FAULTS
from bench.cluster.story import Options, cluster
from bench.stack.cluster import ClusterStack
from bench.stack.temporary import temporary_servers

# What a fault takes until all is well again, besides the time that it is given.
_RECOVERY_SECONDS: Final = 8

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def run(
    *,
    events: Annotated[
        int | None, typer.Option(min=1000, help="Messages to publish.", show_default="enough")
    ] = None,
    rate: Annotated[float, typer.Option(min=50, help="Messages per second.")] = 500,
    workers: Annotated[int, typer.Option(min=1, help="Worker processes on each host.")] = 1,
    away: Annotated[float, typer.Option(min=1, help="Seconds that each fault lasts.")] = 20,
    calm: Annotated[float, typer.Option(min=1, help="Seconds between the faults.")] = 10,
    only: Annotated[
        list[str] | None, typer.Option(help=f"Kind of fault; repeat it. {', '.join(FAULTS)}")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Repeats a run's plan.", show_default="random")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="JSON file.", show_default="bench/results/cluster-SEED.json")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave servers' data and logs.")] = False,
    directory: Annotated[Path | None, typer.Option(help="Where servers keep their data.")] = None,
) -> None:
    """Two hosts on a cluster of three nodes; what is taken away must cost time, and no event.

    Exit codes: 0 no difference; 1 differences, or the run itself failed; 2 usage.
    """
    if unknown := set(only or ()) - FAULTS.keys():
        raise typer.BadParameter(f"no such fault: {', '.join(sorted(unknown))}")
    faults = [name for name in FAULTS if name in (only or FAULTS)]
    options = Options(
        events=events or int(rate * (calm + len(faults) * (calm + away + _RECOVERY_SECONDS))),
        seed=random.SystemRandom().randrange(10**6) if seed is None else seed,
        rate=rate,
        workers=workers,
        away=away,
        calm=calm,
        faults=faults,
    )
    conduct(
        lambda tell: temporary_servers("cluster", directory, tell, ClusterStack, keep=keep),
        lambda servers, place, screen: cluster(servers, place, options, screen),
        "cluster",
        f"seed {options.seed}, {rate:,.0f} events/s, 3 nodes, 2 hosts",
        output or RESULTS / f"cluster-{options.seed}.json",
    )


if __name__ == "__main__":
    app()
