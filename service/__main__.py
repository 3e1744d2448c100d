"""``python -m service`` and ``billing-service``."""


def main() -> None:
    """Run the command line."""
    from service.cli import app  # noqa: PLC0415 - workers import this module too, and do without

    app(prog_name="billing-service")


if __name__ == "__main__":
    main()
