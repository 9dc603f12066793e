"""`manage.py untold_events [--again | --forget]`: events of which somebody who wanted to hear of them could not."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from jobservice import relay


class Command(BaseCommand):
    help = "Show the events that could not be told to whoever wants to hear of them, and what was wrong the last time."

    def add_arguments(self, parser: ArgumentParser) -> None:
        deed = parser.add_mutually_exclusive_group()
        deed.add_argument("--again", action="store_true", help="have all of them told again, within a minute")
        deed.add_argument("--forget", action="store_true", help="drop all of them: nobody will ever hear of them")

    def handle(self, *args: Any, again: bool = False, forget: bool = False, **options: Any) -> None:
        if again:
            self.stdout.write(f"{relay.tell_again()} events are told again; what fails ten times more comes back here")
        elif forget:
            self.stdout.write(f"{relay.forget_untold()} events are forgotten")
        else:
            self._show()

    def _show(self) -> None:
        untold = relay.untold()
        for row in untold:
            self.stdout.write(f"{row} of {row.occurred:%Y-%m-%d %H:%M:%S} UTC: {row.error}: {json.dumps(row.payload)}")
        self.stdout.write(f"{len(untold)} events could not be told")
