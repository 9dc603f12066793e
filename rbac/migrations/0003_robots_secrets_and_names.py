# How a secret begins is a column that yesterday's code need not know. The name is called otherwise by the code
# alone: its column stays.

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("rbac", "0002_a_directory_group_is_there_once"),
    ]

    operations = [
        migrations.AddField(
            model_name="robotsecret",
            name="prefix",
            field=models.CharField(blank=True, db_default="", default="", max_length=8),
        ),
        migrations.AlterField(
            model_name="robot",
            name="name",
            field=models.CharField(db_column="name", max_length=600, unique=True),
        ),
        migrations.RenameField(
            model_name="robot",
            old_name="name",
            new_name="kept_name",
        ),
    ]
