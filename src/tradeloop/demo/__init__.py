"""The road, shown: three batches from an Airflow task to the DAG run that each one causes."""
