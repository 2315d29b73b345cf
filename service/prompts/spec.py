"""The keys of a prompt file and their types.

In: plain values. Out: a `Spec`, or pydantic's ValidationError. The format is GitHub's `.prompt.yml` (github/gh-models
pkg/prompt/prompt.go) with further keys. Unknown keys are errors.
Not here: reading files (`file`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    PrivateAttr,
    Tag,
    model_validator,
)

from service import safe_paths
from service.engine.types import Sampling
from service.errors import short_name
from service.prompts import foreign_code
from service.prompts.file_names import CASES, WRITTEN_BY_PROMOTION

Model = Annotated[
    str, AfterValidator(foreign_code.model_name), Field(json_schema_extra={"pattern": foreign_code.MODEL})
]
Roles = Literal["system", "user", "assistant"]
KINDS = ("string", "regex", "notContains", "oneOf", "json_", "similarity", "python", "llm")
"""The fields of `Evaluator`. Each check has exactly one of them."""


class Strict(BaseModel):
    """A mapping without unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelParameters(Strict):
    """How the next token is chosen, as in `service.engine.types.Sampling`. The defaults are greedy."""

    maxTokens: int = Field(256, ge=1, le=32768)  # noqa: N815
    temperature: float = Field(0.0, ge=0, le=2)
    topP: float = Field(1.0, gt=0, le=1)  # noqa: N815
    topK: int = Field(0, ge=0)  # noqa: N815
    minP: float = Field(0.0, ge=0, lt=1)  # noqa: N815
    repeatPenalty: float = Field(1.0, gt=0, le=2)  # noqa: N815
    frequencyPenalty: float = Field(0.0, ge=-2, le=2)  # noqa: N815
    presencePenalty: float = Field(0.0, ge=-2, le=2)  # noqa: N815
    seed: int = Field(0, ge=0, lt=2**32 - 1)
    stop: tuple[Annotated[str, Field(min_length=1)], ...] = Field((), max_length=16)

    def sampling(self, *, seed: int | None = None) -> Sampling:
        """The sampling parameters for the engine. `seed` wins over the file's."""
        return Sampling(
            temperature=self.temperature,
            top_k=self.topK,
            top_p=self.topP,
            min_p=self.minP,
            repeat_penalty=self.repeatPenalty,
            frequency_penalty=self.frequencyPenalty,
            presence_penalty=self.presencePenalty,
            seed=self.seed if seed is None else seed,
            max_tokens=self.maxTokens,
            stop=self.stop,
        )


class MessageTemplate(Strict):
    """One message. `content` may hold `{{variable}}` placeholders."""

    role: Roles
    content: str


class StringCheck(Strict):
    """GitHub's check: `equals` compares the trimmed answer exactly, the others ignore case. Exactly one is given."""

    equals: str | None = None
    contains: str | None = None
    startsWith: str | None = None  # noqa: N815
    endsWith: str | None = None  # noqa: N815

    @model_validator(mode="after")
    def _one(self) -> StringCheck:
        if sum(value is not None for value in (self.equals, self.contains, self.startsWith, self.endsWith)) != 1:
            raise ValueError("give exactly one of equals, contains, startsWith, endsWith")
        return self


class JsonCheck(Strict):
    """The answer is JSON, matches `schema` if it is given, and has the listed value at each pointer (RFC 6901)."""

    valid: Literal[True] = True
    schema_: dict[str, Any] | None = Field(None, alias="schema")
    equals: dict[str, Any] = {}


class SimilarityCheck(Strict):
    """The similarity of the answer and `to`, from 0 to 1, by a deterministic metric."""

    to: str
    metric: Literal["ratio", "tokenSet", "chrf"] = "ratio"
    threshold: float = Field(ge=0, le=1)


class JudgeChoice(Strict):
    """A possible reply of the judge, and its score."""

    choice: str
    score: float = Field(ge=0, le=1)


class JudgeCheck(Strict):
    """A check by a model. Its reply is constrained to the listed choices, so it is always one of them."""

    modelId: Model  # noqa: N815
    systemPrompt: str | None = None  # noqa: N815
    prompt: str
    choices: tuple[JudgeChoice, ...] = Field(min_length=2)
    threshold: float = Field(0.5, ge=0, le=1)


Share = Annotated[float, Field(ge=0, le=1)]
Scalar = str | bool | int | float


class Abstain(Strict):
    """The answer that replaces a label whose probability is below `below`."""

    below: float = Field(gt=0, le=1)
    answer: str = Field(min_length=1)


class Minimum(Strict):
    """The share of cases that must pass: of all of them, of a class (a label of `choices`), and of a slice."""

    all: Share | None = None
    classes: dict[str, Share] = {}
    slices: dict[str, Share] = {}


class Evaluator(Strict):
    """One check. Placeholders in its strings are filled with the case's values.

    It judges every case, or with `when` the cases that have a value of that name, or one of the values in a mapping.
    """

    name: str = Field(min_length=1)
    string: StringCheck | None = None
    regex: str | None = None
    notContains: str | None = None  # noqa: N815
    oneOf: tuple[str, ...] | None = None  # noqa: N815
    json_: JsonCheck | None = Field(None, alias="json")
    similarity: SimilarityCheck | None = None
    python: Annotated[str, Field(pattern=r"^[\w.]+:\w+$")] | None = None
    llm: JudgeCheck | None = None
    minimum: Share | Minimum | None = None
    when: (
        Annotated[str, Field(min_length=1)]
        | Annotated[dict[str, Scalar | Annotated[tuple[Scalar, ...], Field(min_length=1)]], Field(min_length=1)]
        | None
    ) = None
    uses: str | None = None
    _folder: Path | None = PrivateAttr(None)

    @property
    def folder(self) -> Path | None:
        """The folder of the prompt file. A `python` check may be beside it. None if the prompt is only a text."""
        return self._folder

    @property
    def kind(self) -> str:
        """The key of the one check that is given. `uses` names a check of another tool, which cannot be applied."""
        return next(kind for kind in (*KINDS, "uses") if getattr(self, kind) is not None)

    @property
    def minimums(self) -> dict[str, float]:
        """The shares by "class NAME" and "slice NAME", and by "" for all cases."""
        if not isinstance(self.minimum, Minimum):
            return {} if self.minimum is None else {"": self.minimum}
        whole = {} if self.minimum.all is None else {"": self.minimum.all}
        classes = {f"class {name}": share for name, share in self.minimum.classes.items()}
        return whole | classes | {f"slice {name}": share for name, share in self.minimum.slices.items()}

    @model_validator(mode="after")
    def _one_kind(self) -> Evaluator:
        given = [kind.rstrip("_") for kind in (*KINDS, "uses") if getattr(self, kind) is not None]
        if len(given) != 1:
            kinds = ", ".join(kind.rstrip("_") for kind in KINDS)
            raise ValueError(f"give exactly one of {kinds}" + (f", not {' and '.join(given)}" if given else ""))
        return self


class FittedCalibration(Strict):
    """Fitted on dev cases. A label's log-probability is multiplied by `scale`, and its bias is added."""

    scale: float = Field(gt=0, le=100, allow_inf_nan=False)
    bias: dict[str, Annotated[float, Field(ge=-100, le=100, allow_inf_nan=False)]]


Calibration = Annotated[
    Annotated[Literal["none", "contextual"], Tag("str")] | Annotated[FittedCalibration, Tag("dict[]")],
    Discriminator(lambda value: "dict[]" if isinstance(value, dict | FittedCalibration) else "str"),
]  # the tags are the names of types in pydantic's places, which a mistake leaves out


class Spec(Strict):
    """A whole prompt file."""

    schemaVersion: Literal[1] = 1  # noqa: N815
    name: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$")]
    description: str = ""
    model: Model | None = None
    modelParameters: ModelParameters = ModelParameters()  # noqa: N815
    inputs: dict[str, Any] | None = None
    responseFormat: Literal["text", "json_object", "json_schema", "choice"] = "text"  # noqa: N815
    jsonSchema: dict[str, Any] | str | None = None  # noqa: N815
    choices: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    calibration: Calibration = "none"
    abstain: Abstain | None = None
    messages: tuple[MessageTemplate, ...] = Field(min_length=1)
    testData: tuple[dict[str, Any], ...] = ()  # noqa: N815
    testDataFile: str | None = None  # noqa: N815
    testDataFields: dict[str, str] = {}  # noqa: N815  # maps a name used here to a column of the file
    devCases: tuple[Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")], ...] = ()  # noqa: N815  # digests of their inputs
    evaluators: tuple[Evaluator, ...] = ()
    repeats: int = Field(1, ge=1, le=100)  # answers per case, with seeds seed, seed + 1, ...
    repeatsPass: Literal["all", "majority", "any"] = "all"  # noqa: N815  # how many of the answers must pass

    @model_validator(mode="after")
    def _together(self) -> Spec:
        if (self.responseFormat == "json_schema") != (self.jsonSchema is not None):
            raise ValueError("responseFormat: json_schema and jsonSchema belong together")
        if (self.responseFormat == "choice") != bool(self.choices):
            raise ValueError("responseFormat: choice and choices belong together")
        if self.choices and (len(self.choices) < 2 or len(set(self.choices)) != len(self.choices)):
            raise ValueError("choices: give at least two different ones")
        if self.calibration != "none" and not self.choices:
            raise ValueError("calibration is for responseFormat: choice")
        if isinstance(self.calibration, FittedCalibration):
            missing = [choice for choice in self.choices if choice not in self.calibration.bias]
            unknown = [label for label in self.calibration.bias if label not in self.choices]
            if missing or unknown:
                problem = f"names {short_name(unknown[0])}, which is no choice" if unknown else ""
                problem = problem or f"has no number for the choice {short_name(missing[0])}"
                raise ValueError(f"calibration: bias {problem}; give one number for each of choices")
        for check in self.evaluators:
            named = check.minimum.classes if isinstance(check.minimum, Minimum) else {}
            if self.choices and (unknown := sorted(named.keys() - set(self.choices))):
                raise ValueError(f"evaluators: the minimum of {check.name!r} names {unknown[0]!r}, which is no choice")
        if self.abstain is not None and not self.choices:
            raise ValueError("abstain is for responseFormat: choice")
        if self.abstain is not None and self.abstain.answer in self.choices:
            raise ValueError(f"abstain: the answer {self.abstain.answer!r} is one of the choices; give another text")
        if self.repeatsPass != "all" and self.repeats == 1:
            raise ValueError("repeatsPass is for repeats of 2 or more")
        if self.testDataFields and self.testDataFile is None:
            raise ValueError("testDataFields is for testDataFile")
        if self.testDataFile is not None:
            if wrong := safe_paths.wrong_path(self.testDataFile):
                raise ValueError(
                    f"testDataFile must be a path below the prompt's own folder, such as {CASES}; this one {wrong}"
                )
            if safe_paths.key(self.testDataFile) in WRITTEN_BY_PROMOTION:
                raise ValueError(f"testDataFile must not be {self.testDataFile}, which a promotion writes")
        return self

    def placed(self, folder: Path) -> Spec:
        """This spec as one of a file in `folder`."""
        for evaluator in self.evaluators:
            evaluator._folder = folder
        return self
