"""A task's own failures and its dead workers are counted apart; what is left of an execution is found at once."""

from __future__ import annotations

from django.db import migrations, models

ADD = """
ALTER TABLE job_task ADD COLUMN failures integer NOT NULL DEFAULT 0, ADD COLUMN deaths integer NOT NULL DEFAULT 0;
CREATE INDEX job_task_unfinished ON job_task (execution_id) WHERE status IN ('Pending', 'Running');
"""
REMOVE = """
DROP INDEX job_task_unfinished;
ALTER TABLE job_task DROP COLUMN failures, DROP COLUMN deaths;
"""


class Migration(migrations.Migration):
    dependencies = [("jobservice", "0002_executions_tasks_and_schedules")]

    operations = [
        migrations.RunSQL(
            ADD,
            REMOVE,
            state_operations=[
                migrations.AddField("task", "failures", models.IntegerField(db_default=0)),
                migrations.AddField("task", "deaths", models.IntegerField(db_default=0)),
            ],
        )
    ]
