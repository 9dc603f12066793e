"""When an execution of some kind of event last began for a policy is one look, however many there were."""

from __future__ import annotations

from django.db import migrations

ADD = """
CREATE INDEX job_execution_of_event
ON job_execution (vendor_type, vendor_id, (extra_attrs ->> 'event_type'), start_time)
"""


class Migration(migrations.Migration):
    dependencies = [("jobservice", "0003_failures_and_deaths")]

    operations = [migrations.RunSQL(ADD, "DROP INDEX job_execution_of_event")]
