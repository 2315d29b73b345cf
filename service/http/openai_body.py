"""The base of OpenAI's request bodies.

In: JSON from OpenAI's clients, and from programs for other servers. Out: a typed body, or RequestError for a parameter
that has an unknown name, or a value that cannot be honoured.
Not here: the parameters of a route (`generation_body`, `openai_types`), ignored and refused parameters (`parameters`).

Some fields have `x-maps-to`: they are another server's name of the field that it contains.
"""

from __future__ import annotations

from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema

from service.errors import RequestError
from service.http import parameters


def other_name(of: str, **limits: Any) -> Any:
    """A field that is another server's name of the field `of`."""
    return Field(None, json_schema_extra={"x-maps-to": of}, description=f"Another name of {of}", **limits)


class OpenAIBody(BaseModel):
    """A request body. Its parameters are fields, or `parameters` ignores or refuses them."""

    model_config = ConfigDict(extra="forbid", strict=True)  # strict: true is no number, and 0 is no boolean
    route: ClassVar[str]

    @model_validator(mode="before")
    @classmethod
    def _read(cls, body: Any) -> Any:
        """The values of the fields. Raises RequestError for a parameter that can be neither honoured nor ignored."""
        return parameters.read(cls.route, cls.model_fields, cls.nulls(body)) if isinstance(body, dict) else body

    @classmethod
    def nulls(cls, body: dict[str, Any]) -> dict[str, Any]:
        """The body with values in place of those nulls that do not mean the default."""
        return body

    @model_validator(mode="after")
    def _map(self) -> Self:
        """Copy values from another server's name to the field. Raises RequestError if both are set and differ."""
        for name in self.model_fields_set:
            target = _target(type(self), name)
            if target is None:
                continue
            value = getattr(self, name)
            if target in self.model_fields_set and getattr(self, target) != value:
                raise RequestError(
                    f"{name} is another name of {target}, and their values differ. Send one of them.", key=name
                )
            self.__dict__[target] = value  # setattr would add it to model_fields_set
        return self

    @classmethod
    def own_schema(cls) -> dict[str, Any]:
        """JSON Schema of the fields, without ignored and refused parameters."""
        whole = cls.model_json_schema()
        return {**whole, "properties": {name: whole["properties"][name] for name in cls.model_fields}}

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """The schema of every accepted body: null is a default, and refused parameters may have neutral values."""
        schema = handler.resolve_ref_schema(handler(core))
        required = schema.get("required", [])
        for name, known in schema["properties"].items():
            if name not in required or cls.nulls({name: None})[name] is not None:
                beside = (
                    set(known) - {"anyOf"} if "anyOf" in known else {"title", "description", "default"} & set(known)
                )
                outer = {key: known.pop(key) for key in beside}
                options = known.pop("anyOf", [known])
                nullable = [*(option for option in options if option != {"type": "null"}), {"type": "null"}]
                schema["properties"][name] = {**outer, "anyOf": nullable}
        for name, (why, _) in parameters.of_route(parameters.IGNORED, cls.route).items():
            schema["properties"].setdefault(name, {"description": f"Has no effect. {why}"})
        for name, (why, values) in parameters.of_route(parameters.REFUSED, cls.route).items():
            schema["properties"].setdefault(name, {"enum": [*values, None], "description": why})
        return schema


def _target(body: type[BaseModel], name: str) -> str | None:
    """The field for which this one is another name. None if it is no other name."""
    extra = body.model_fields[name].json_schema_extra
    return str(extra["x-maps-to"]) if isinstance(extra, dict) and "x-maps-to" in extra else None
