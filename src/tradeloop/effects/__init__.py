"""Effects: what a decision may do, each a small class; the ledger (`engine.effects`) is the only caller."""

from tradeloop.domain.actions import Action, Effect, TargetClass
from tradeloop.effects.effector import Effector, Queryable
from tradeloop.errors import EffectBlocked, EffectRefused, EffectUnanswered

__all__ = [
    "Action",
    "Effect",
    "EffectBlocked",
    "EffectRefused",
    "EffectUnanswered",
    "Effector",
    "Queryable",
    "TargetClass",
]
