from airflow.sdk import dag, task

from tradeloop.airflow import emits


@dag
def own_load():
    @emits("own.loaded", subject=lambda loaded: loaded["book"])
    @task
    def load():
        return {"book": "rates", "rows": 20, "expected": 21}

    load()


@dag
def own_refetch():
    @task
    def refetch(*, dag_run):
        print("decision", dag_run.conf["decision_id"], "asks for", dag_run.conf["missing"], "rows")

    refetch()


own_load()
own_refetch()
