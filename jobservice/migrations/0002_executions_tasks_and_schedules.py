"""Executions, their tasks and logs, partitioned by month from the start; a default partition catches what has none."""

from __future__ import annotations

import uuid

import django.db.models.expressions
import django.db.models.functions.datetime
from django.db import migrations, models

CREATE = """
CREATE SEQUENCE job_execution_id_seq AS bigint;
CREATE TABLE job_execution (
    id bigint NOT NULL DEFAULT nextval('job_execution_id_seq'),
    start_time timestamptz NOT NULL DEFAULT now(),
    vendor_type varchar(64) NOT NULL,
    vendor_id bigint NOT NULL DEFAULT 0,
    status varchar(16) NOT NULL DEFAULT 'Running',
    status_message text NOT NULL DEFAULT '',
    trigger varchar(16) NOT NULL,
    extra_attrs jsonb NOT NULL DEFAULT '{}',
    update_time timestamptz NOT NULL DEFAULT now(),
    end_time timestamptz,
    PRIMARY KEY (id, start_time)
) PARTITION BY RANGE (start_time);
ALTER SEQUENCE job_execution_id_seq OWNED BY job_execution.id;
CREATE TABLE job_execution_default PARTITION OF job_execution DEFAULT;
CREATE INDEX job_execution_of_vendor ON job_execution (vendor_type, vendor_id, id DESC);
CREATE INDEX job_execution_unfinished ON job_execution (id) WHERE status IN ('Pending', 'Running');

CREATE SEQUENCE job_task_id_seq AS bigint;
CREATE TABLE job_task (
    id bigint NOT NULL DEFAULT nextval('job_task_id_seq'),
    creation_time timestamptz NOT NULL DEFAULT now(),
    execution_id bigint NOT NULL,
    vendor_type varchar(64) NOT NULL,
    job_id uuid NOT NULL,
    queue varchar(16) NOT NULL,
    series varchar(128) NOT NULL DEFAULT '',
    params jsonb NOT NULL DEFAULT '{}',
    status varchar(16) NOT NULL DEFAULT 'Pending',
    status_message text NOT NULL DEFAULT '',
    run_count integer NOT NULL DEFAULT 0,
    due timestamptz NOT NULL DEFAULT now(),
    rung timestamptz NOT NULL DEFAULT now(),
    lease timestamptz,
    worker varchar(255) NOT NULL DEFAULT '',
    is_stop_asked boolean NOT NULL DEFAULT false,
    done bigint NOT NULL DEFAULT 0,
    total bigint NOT NULL DEFAULT 0,
    state jsonb NOT NULL DEFAULT '{}',
    extra_attrs jsonb NOT NULL DEFAULT '{}',
    update_time timestamptz NOT NULL DEFAULT now(),
    start_time timestamptz,
    end_time timestamptz,
    PRIMARY KEY (id, creation_time)
) PARTITION BY RANGE (creation_time);
ALTER SEQUENCE job_task_id_seq OWNED BY job_task.id;
CREATE TABLE job_task_default PARTITION OF job_task DEFAULT;
CREATE INDEX job_task_of_execution ON job_task (execution_id, id);
CREATE INDEX job_task_by_job_id ON job_task (job_id);
CREATE INDEX job_task_pending ON job_task (vendor_type, due, id) WHERE status = 'Pending';
CREATE INDEX job_task_running ON job_task (vendor_type, lease) WHERE status = 'Running';
CREATE INDEX job_task_series ON job_task (series, id) WHERE series <> '' AND status IN ('Pending', 'Running');

CREATE SEQUENCE job_task_log_id_seq AS bigint;
CREATE TABLE job_task_log (
    id bigint NOT NULL DEFAULT nextval('job_task_log_id_seq'),
    creation_time timestamptz NOT NULL DEFAULT now(),
    task_id bigint NOT NULL,
    text text NOT NULL,
    PRIMARY KEY (id, creation_time)
) PARTITION BY RANGE (creation_time);
ALTER SEQUENCE job_task_log_id_seq OWNED BY job_task_log.id;
CREATE TABLE job_task_log_default PARTITION OF job_task_log DEFAULT;
CREATE INDEX job_task_log_of_task ON job_task_log (task_id, id);
"""


class Migration(migrations.Migration):
    dependencies = [("jobservice", "0001_upkeep_runs")]

    operations = [
        migrations.RunSQL(CREATE, "DROP TABLE job_execution, job_task, job_task_log"),
        migrations.CreateModel(
            name="Execution",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "id", "start_time", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "id",
                    models.BigIntegerField(
                        db_default=django.db.models.expressions.RawSQL("nextval('job_execution_id_seq')", [])
                    ),
                ),
                ("start_time", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("vendor_type", models.CharField(max_length=64)),
                ("vendor_id", models.BigIntegerField(default=0)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("Pending", "Pending"),
                            ("Running", "Running"),
                            ("Success", "Success"),
                            ("Error", "Error"),
                            ("Stopped", "Stopped"),
                        ],
                        default="Running",
                        max_length=16,
                    ),
                ),
                ("status_message", models.TextField(blank=True)),
                (
                    "trigger",
                    models.CharField(
                        choices=[("MANUAL", "Manual"), ("SCHEDULE", "Schedule"), ("EVENT", "Event")], max_length=16
                    ),
                ),
                ("extra_attrs", models.JSONField(default=dict)),
                ("update_time", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("end_time", models.DateTimeField(null=True)),
            ],
            options={
                "db_table": "job_execution",
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="Task",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "id", "creation_time", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "id",
                    models.BigIntegerField(
                        db_default=django.db.models.expressions.RawSQL("nextval('job_task_id_seq')", [])
                    ),
                ),
                ("creation_time", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("execution_id", models.BigIntegerField()),
                ("vendor_type", models.CharField(max_length=64)),
                ("job_id", models.UUIDField(default=uuid.uuid4)),
                ("queue", models.CharField(max_length=16)),
                ("series", models.CharField(blank=True, max_length=128)),
                ("params", models.JSONField(default=dict)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("Pending", "Pending"),
                            ("Running", "Running"),
                            ("Success", "Success"),
                            ("Error", "Error"),
                            ("Stopped", "Stopped"),
                        ],
                        default="Pending",
                        max_length=16,
                    ),
                ),
                ("status_message", models.TextField(blank=True)),
                ("run_count", models.IntegerField(default=0)),
                ("due", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("rung", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("lease", models.DateTimeField(null=True)),
                ("worker", models.CharField(blank=True, max_length=255)),
                ("is_stop_asked", models.BooleanField(default=False)),
                ("done", models.BigIntegerField(default=0)),
                ("total", models.BigIntegerField(default=0)),
                ("state", models.JSONField(default=dict)),
                ("extra_attrs", models.JSONField(default=dict)),
                ("update_time", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("start_time", models.DateTimeField(null=True)),
                ("end_time", models.DateTimeField(null=True)),
            ],
            options={
                "db_table": "job_task",
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="TaskLog",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "id", "creation_time", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "id",
                    models.BigIntegerField(
                        db_default=django.db.models.expressions.RawSQL("nextval('job_task_log_id_seq')", [])
                    ),
                ),
                ("creation_time", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("task_id", models.BigIntegerField()),
                ("text", models.TextField()),
            ],
            options={
                "db_table": "job_task_log",
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="PausedQueue",
            fields=[
                ("job_type", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("since", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
        ),
        migrations.CreateModel(
            name="WorkerPool",
            fields=[
                ("pool_id", models.CharField(max_length=255, primary_key=True, serialize=False)),
                ("host", models.CharField(max_length=255)),
                ("pid", models.IntegerField()),
                ("concurrency", models.IntegerField()),
                ("started", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("heartbeat", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
        ),
        migrations.CreateModel(
            name="Schedule",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("vendor_type", models.CharField(max_length=64)),
                ("vendor_id", models.BigIntegerField(default=0)),
                (
                    "kind",
                    models.CharField(
                        choices=[("Hourly", "Hourly"), ("Daily", "Daily"), ("Weekly", "Weekly"), ("Custom", "Custom")],
                        default="Custom",
                        max_length=16,
                    ),
                ),
                ("cron", models.CharField(max_length=255)),
                ("params", models.JSONField(default=dict)),
                ("fired", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("created", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("updated", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("vendor_type", "vendor_id"), name="one_schedule_for_each_vendor")
                ],
            },
        ),
    ]
