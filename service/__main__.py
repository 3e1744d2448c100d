"""``python -m service`` and ``billing-service``."""

from service.cli import app


def main() -> None:
    """Run the command line."""
    app(prog_name="billing-service")


if __name__ == "__main__":
    main()
