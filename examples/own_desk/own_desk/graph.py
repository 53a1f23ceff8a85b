from tradeloop import Action, Decision, Workflow


def decide(state):
    loaded = state["event"]["payload"]["data"]
    missing = loaded["expected"] - loaded["rows"]
    refetch = Action(kind="trigger_dag", target="own_refetch", params={"missing": missing}) if missing else None
    return {"decision": Decision(outcome="REFETCH" if missing else "ACCEPT", action=refetch)}


workflow = Workflow.chain("own.loaded", decide, desk="own")
