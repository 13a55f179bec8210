"""From scores of frames to verdicts on parts: areas, a least size of defects, hysteresis, part triggers.

    rules = Rules(roi=(parse_area("0.1,0.1 0.9,0.1 0.9,0.9 0.1,0.9"),), hysteresis=Hysteresis(3, 5))
    for result in edgead.stream(detector, source, rules=Ruling(rules, Scoring.of(detector))): ...

Everything here is plain state that one thread feeds with one frame after the other.
"""

from edgead.verdicts.area_limit import AreaLimit
from edgead.verdicts.areas import MaskFile, Polygon, parse_area
from edgead.verdicts.foreground import ForegroundTrigger, Line
from edgead.verdicts.hysteresis import Hysteresis
from edgead.verdicts.lines import LineTrigger
from edgead.verdicts.opened import TriggerAddress
from edgead.verdicts.parts import PartFault, PartRule
from edgead.verdicts.rules import Rules
from edgead.verdicts.ruling import Ruling
from edgead.verdicts.rulings import Rulings
from edgead.verdicts.scoring import Scoring
from edgead.verdicts.trigger import Begin, CallTrigger, End, Refused, Trigger

__all__ = [
    "AreaLimit",
    "Begin",
    "CallTrigger",
    "End",
    "ForegroundTrigger",
    "Hysteresis",
    "Line",
    "LineTrigger",
    "MaskFile",
    "PartFault",
    "PartRule",
    "Polygon",
    "Refused",
    "Rules",
    "Ruling",
    "Rulings",
    "Scoring",
    "Trigger",
    "TriggerAddress",
    "parse_area",
]
