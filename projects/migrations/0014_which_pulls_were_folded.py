from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    """With a default of the database's, for yesterday's workers make that row without it."""

    dependencies = [("projects", "0013_when_an_endpoint_failed_last")]
    operations = [
        migrations.AddField(
            model_name="pullfold",
            name="share",
            field=models.CharField(max_length=32, default="", db_default=""),
        ),
    ]
