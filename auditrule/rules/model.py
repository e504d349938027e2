"""What a rule file may say: Elastic's detection-rule TOML as pydantic models.

Source: the rule schema of Elastic's detection-rules repository (detection_rules/rule.py and
schemas/definitions.py there) and Kibana's detection-engine rule schema. Elastic's own files load
unmodified: keys that are not named here are kept (``model_extra``), and only what auditrule reads
is checked. TOML has types, so the check is strict: ``risk_score = "21"`` is a wrong type, not 21.

Where Elastic's own checks are tighter than its users' files, the users win:

- ``rule_id`` is any printable text. Kibana takes any string; Elastic's repository asks for the
  shape of a UUID, and yet holds ids that are none (119c8877-8613-416d-a98a-96b6664ee73a5).
- ``[metadata]`` may be missing: it is the repository's bookkeeping, not the rule.
- ``version`` is optional: in Elastic's repository a lock file keeps it and the TOML has none; an
  export of one's own rules carries it.
"""

import re
from datetime import date
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
)

EQL: Final = "eql"
"""The ``rule.type`` (and ``rule.language``) of the rules that auditrule runs."""

ATTACK: Final = "MITRE ATT&CK"
"""The ``framework`` of the threats whose ids have ATT&CK's form."""

_DATE = re.compile(r"(\d{4})/(\d{2})/(\d{2})", re.ASCII)
_TACTIC_ID = re.compile(r"TA\d{4}", re.ASCII)
_TECHNIQUE_ID = re.compile(r"T\d{4}", re.ASCII)
_SUBTECHNIQUE_ID = re.compile(r"T\d{4}\.\d{3}", re.ASCII)


def _read_date(value: object) -> date:
    found = _DATE.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError('must be a date written as "YYYY/MM/DD"')
    try:
        return date(*map(int, found.groups()))
    except ValueError:
        raise ValueError("is not a day of the calendar") from None


def _one_line(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be empty")
    if not value.isprintable():
        raise ValueError("must be one line of printable text")
    return value


def _one_or_many(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _not_blank(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be empty")
    return value


RuleDate = Annotated[date, BeforeValidator(_read_date)]
OneLine = Annotated[str, AfterValidator(_one_line)]
Severity = Literal["low", "medium", "high", "critical"]
# Strictness would refuse TOML's arrays, which are lists, where a frozen model wants a tuple; the
# items stay strict.
Texts = Annotated[tuple[str, ...], Field(strict=False)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="allow")


class Metadata(_Part):
    """The ``[metadata]`` table: the file's own history, which no alert depends on."""

    creation_date: RuleDate | None = None
    updated_date: RuleDate | None = None
    deprecation_date: RuleDate | None = None
    integration: Annotated[Texts, BeforeValidator(_one_or_many)] = ()
    maturity: str | None = None
    min_stack_version: str | None = None
    min_stack_comments: str | None = None


class ThreatEntry(_Part):
    """What tactics, techniques and subtechniques have in common: an id, a name, a page."""

    id: OneLine
    name: OneLine
    reference: OneLine | None = None


class Tactic(ThreatEntry):
    """The adversary's aim, such as TA0003, Persistence."""


class Subtechnique(ThreatEntry):
    """A kind of its technique, such as T1053.003, Cron."""


class Technique(ThreatEntry):
    """The adversary's means, such as T1053, Scheduled Task/Job."""

    subtechnique: Annotated[tuple[Subtechnique, ...], Field(strict=False)] = ()


class Threat(_Part):
    """One ``[[rule.threat]]``: a tactic, and the techniques that serve it.

    Ids of the framework "MITRE ATT&CK" have its form, and a subtechnique belongs to the technique
    it stands under; other frameworks number as they like.
    """

    framework: OneLine
    tactic: Tactic
    technique: Annotated[tuple[Technique, ...], Field(strict=False)] = ()

    @field_validator("tactic")
    @classmethod
    def _tactic_is_of_the_framework(cls, tactic: Tactic, info: ValidationInfo) -> Tactic:
        if info.data.get("framework") == ATTACK and not _TACTIC_ID.fullmatch(tactic.id):
            raise ValueError(f"has the id {tactic.id!r}, which is not like TA0003")
        return tactic

    @field_validator("technique")
    @classmethod
    def _techniques_are_of_the_framework(
        cls, techniques: tuple[Technique, ...], info: ValidationInfo
    ) -> tuple[Technique, ...]:
        if info.data.get("framework") != ATTACK:
            return techniques
        for technique in techniques:
            if not _TECHNIQUE_ID.fullmatch(technique.id):
                raise ValueError(f"has the id {technique.id!r}, which is not like T1053")
            for sub in technique.subtechnique:
                if not _SUBTECHNIQUE_ID.fullmatch(sub.id):
                    raise ValueError(f"has the id {sub.id!r}, which is not like T1053.003")
                if not sub.id.startswith(technique.id + "."):
                    raise ValueError(f"has {sub.id} under {technique.id}, to which it is foreign")
        return techniques


class AlertSuppressionDuration(_Part):
    """How long one alert stands for the like ones after it."""

    value: Annotated[int, Field(ge=1)]
    unit: Literal["s", "m", "h"]


class AlertSuppression(_Part):
    """``[rule.alert_suppression]``; kept, and not acted on: every match is an alert."""

    group_by: Texts = ()
    duration: AlertSuppressionDuration | None = None
    missing_fields_strategy: str | None = None


class InvestigationFields(_Part):
    """``[rule.investigation_fields]``: the fields an analyst wants to see first."""

    field_names: Texts = ()


class RuleBody(_Part):
    """The ``[rule]`` table.

    Some keys steer Kibana's scheduling or storage and have no meaning on a stream of events:
    ``from``, ``to``, ``interval``, ``index``, ``max_signals``, ``timestamp_override``,
    ``alert_suppression``. They are kept.
    """

    rule_id: OneLine
    name: OneLine
    description: Annotated[str, AfterValidator(_not_blank)]
    severity: Severity
    risk_score: Annotated[int, Field(ge=0, le=100)]
    type: OneLine
    language: Annotated[str | None, Field(validate_default=True)] = None
    query: Annotated[str | None, Field(validate_default=True)] = None

    author: Texts = ()
    license: str | None = None
    version: Annotated[int, Field(ge=1)] | None = None
    enabled: bool = True
    references: Texts = ()
    tags: Texts = ()
    false_positives: Texts = ()
    note: str | None = None
    setup: str | None = None
    threat: Annotated[tuple[Threat, ...], Field(strict=False)] = ()
    building_block_type: str | None = None
    investigation_fields: InvestigationFields | None = None

    event_category_override: OneLine | None = None
    timestamp_field: OneLine | None = None
    filters: Annotated[tuple[dict[str, Any], ...], Field(strict=False)] = ()

    from_: Annotated[str | None, Field(alias="from")] = None
    to: str | None = None
    interval: str | None = None
    index: Texts = ()
    max_signals: Annotated[int, Field(ge=1)] | None = None
    timestamp_override: str | None = None
    alert_suppression: AlertSuppression | None = None

    @field_validator("language")
    @classmethod
    def _language_fits_the_type(cls, language: str | None, info: ValidationInfo) -> str | None:
        # A type that is missing or wrong has its own complaint.
        if "type" in info.data and (info.data["type"] == EQL) != (language == EQL):
            raise ValueError('must be "eql" where rule.type is "eql", and only there')
        return language

    @field_validator("query")
    @classmethod
    def _eql_has_a_query(cls, query: str | None, info: ValidationInfo) -> str | None:
        if info.data.get("type") == EQL:
            if query is None:
                raise ValueError("is required in an EQL rule")
            _not_blank(query)
        return query

    @property
    def is_eql(self) -> bool:
        """Whether the query is EQL, the language that auditrule evaluates."""
        return self.type == EQL


class RuleFile(_Part):
    """A whole rule file; other tables, such as ``[transform]``, are kept unread."""

    metadata: Metadata = Metadata()
    rule: RuleBody
