"""The audit log, partitioned by month from the start; a default partition catches what has none."""

from __future__ import annotations

from django.db import migrations

CREATE = """
CREATE SEQUENCE audit_log_id_seq AS bigint;
CREATE TABLE audit_log (
    id bigint NOT NULL DEFAULT nextval('audit_log_id_seq'),
    op_time timestamptz NOT NULL DEFAULT now(),
    username varchar(600) NOT NULL,
    operation varchar(64) NOT NULL,
    resource_type varchar(64) NOT NULL,
    resource varchar(1024) NOT NULL,
    project_id bigint,
    succeeded boolean NOT NULL DEFAULT true,
    description text NOT NULL DEFAULT '',
    address varchar(64) NOT NULL DEFAULT '',
    request_id varchar(64) NOT NULL DEFAULT '',
    PRIMARY KEY (id, op_time)
) PARTITION BY RANGE (op_time);
ALTER SEQUENCE audit_log_id_seq OWNED BY audit_log.id;
CREATE TABLE audit_log_default PARTITION OF audit_log DEFAULT;
CREATE INDEX audit_log_newest ON audit_log (op_time DESC, id DESC);
CREATE INDEX audit_log_of_project ON audit_log (project_id, op_time DESC);
"""


class Migration(migrations.Migration):
    dependencies = [("projects", "0001_what_is_stored")]

    operations = [migrations.RunSQL(CREATE, "DROP TABLE audit_log")]
