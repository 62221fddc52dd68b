"""What every part of a recipe is."""

from __future__ import annotations

from typing import Annotated, Any, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

Part = Annotated[float, Field(ge=0.0, lt=1.0)]  # a probability that is never sure


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", validate_assignment=True, allow_inf_nan=False, protected_namespaces=())

    @model_validator(mode="before")
    @classmethod
    def yes_and_no_are_no_numbers(cls, given: Any) -> Any:
        """pydantic takes True for 1, and a column that YAML reads as False, such as `no`, for column 0."""
        for key, value in given.items() if isinstance(given, dict) else ():
            values = value if isinstance(value, list) else [value]
            kind = cls.model_fields[key].annotation if key in cls.model_fields else bool
            if any(isinstance(one, bool) for one in values) and bool not in (kind, *get_args(kind)):
                told = "a truth value, as which YAML reads yes, no, on and off too; text stands in quotes"
                raise PydanticCustomError("truth_value", told, {"key": key, "value": value})
        return given
