import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("projects", "0014_which_pulls_were_folded"),
    ]

    operations = [
        migrations.CreateModel(
            name="ProjectCveAllowlist",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("cve_ids", models.JSONField(default=list)),
                ("expires", models.DateTimeField(null=True)),
                ("created", models.DateTimeField(null=True)),
                ("updated", models.DateTimeField(null=True)),
                (
                    "project",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="cve_allowlist",
                        to="projects.project",
                    ),
                ),
            ],
        ),
    ]
