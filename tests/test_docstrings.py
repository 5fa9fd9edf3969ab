"""The help of a setting is the docstring under it, wherever its class stands."""

from wmsd_core.docstrings import docstrings


class Above:
    kept: int = 1
    """Of the class above."""
    changed: int = 1
    """As it was."""
    bare: int = 1


class Below(Above):
    """Not a field's."""

    changed: int = 2
    """As it is:
    on two lines."""
    constant = 3
    """Not of a field that has a type."""
    far: int = 4

    def method(self) -> None:
        """Not a field's either."""

    class Within:
        kept: int = 5
        """Of the class within."""


def test_docstrings_are_those_under_fields_of_the_class_and_of_those_above_it() -> None:
    assert docstrings(Below) == {"kept": "Of the class above.", "changed": "As it is:\non two lines."}
    assert docstrings(Below.Within) == {"kept": "Of the class within."}


def test_classes_of_one_name_are_told_apart_and_one_without_source_has_none() -> None:
    class Above:
        kept: int = 1
        """Of the class in the function."""

    assert docstrings(Above) == {"kept": "Of the class in the function."}
    assert docstrings(type("Made", (), {"__module__": "nowhere"})) == {}
