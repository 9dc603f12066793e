from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("projects", "0012_webhook_policies"),
    ]

    operations = [
        migrations.AddField(
            model_name="webhooktarget",
            name="last_failed",
            field=models.DateTimeField(null=True),
        ),
    ]
