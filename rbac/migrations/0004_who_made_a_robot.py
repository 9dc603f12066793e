from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("rbac", "0003_robots_secrets_and_names"),
    ]

    operations = [
        migrations.AddField(
            model_name="robot",
            name="creator_ref",
            field=models.BigIntegerField(null=True),
        ),
    ]
