"""`python -m nhan` is the `nhan` command."""

from nhan.cli.main import run

if __name__ == "__main__":
    run()
