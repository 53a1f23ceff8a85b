from tradeloop import Decision, Workflow


def decide(state):
    rows = state["event"]["payload"]["data"]["rows"]
    return {"decision": Decision(outcome="ACCEPT" if rows else "REFETCH", reasons=[f"{rows} rows"])}


workflow = Workflow.chain("hello.loaded", decide, desk="hello")
