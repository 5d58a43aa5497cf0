"""The commands of a person at a terminal, by what they are for. The list is in cli.py."""
