from tradeloop.effects import EffectBlocked, EffectRefused, EffectUnanswered, TargetClass


class DeskHold:
    """Places a hold in the desk's own system, which drops a second order of the same key."""

    kind = "desk_hold"
    target_class = TargetClass.KEYED

    def __init__(self, system=None):
        self.system = system or {}

    async def execute(self, effect, cause):
        book, amount = effect.action.target, effect.action.params["amount"]
        if book not in self.system:
            raise EffectRefused(f"the desk has no book {book}")
        if self.system[book] == "closed":
            raise EffectBlocked(f"book {book} is closed")
        if self.system[book] == "silent":
            raise EffectUnanswered("the desk did not answer")
        self.system[book].setdefault(effect.key, amount)
        return {"held": amount, "for": cause.subject}
