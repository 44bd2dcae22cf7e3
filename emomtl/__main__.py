"""`python -m emomtl`: the command line, where a launcher such as torchrun wants a module."""

from emomtl.cli import main

if __name__ == "__main__":
    main()
