from airflow.sdk import dag, task

from tradeloop.airflow import emit, event


@dag
def hello():
    @task(outlets=[event("hello.loaded")])
    def load(*, outlet_events):
        emit(outlet_events, "hello.loaded", {"rows": 3}, subject="hello")

    load()


hello()
