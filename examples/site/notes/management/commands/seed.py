"""Fills the board: a user to log in with, tags, about 200 notes and a few attachments. The same board every time."""

import random
from datetime import timedelta

from django.contrib.auth import get_user_model
from django.core.files.base import ContentFile
from django.core.management.base import BaseCommand
from django.db import transaction
from django.utils import timezone

from notes.models import Attachment, Note, Tag

USERNAME = "demo"
PASSWORD = "notes-on-the-board"
TAGS = ["deploy", "front of house", "ideas", "kitchen", "menu", "money", "people", "suppliers", "to read", "wine"]
VERBS = ["Check", "Order", "Plan", "Review", "Fix", "Try", "Write up", "Ask about", "Measure", "Compare"]
THINGS = [
    "the autumn menu", "the walk-in fridge", "table plans for Friday", "the new till", "bread from the corner bakery",
    "the wine list", "the booking page", "knives to sharpen", "the dishwasher's filter", "allergen labels",
    "the terrace heaters", "training for new waiters", "stock levels", "the delivery calendar", "invoices of last month",
    "the tasting menu", "the lunch offer", "the website's opening hours", "fish on Mondays", "the staff rota",
]  # fmt: skip
SENTENCES = [
    "Start with what runs out first and work backwards from there.",
    "Last time this took twice as long as planned, so leave a morning for it.",
    "Two guests asked about it on Saturday; worth having an answer ready.",
    "The cheaper one was louder but lasted longer.",
    "Write down the numbers before changing anything, otherwise nobody can tell whether it helped.",
    "It is on the list since spring, and spring was a while ago.",
    "Keep the old one until the new one has survived a full weekend.",
    "If it rains, move this to the next day and tell everyone by noon.",
    "A small batch first: eight portions, no more.",
    "The second supplier answers the phone, which counts for something.",
    "Nothing here is urgent, but it is better done before the season begins.",
]


class Command(BaseCommand):
    """`manage.py seed`: does nothing on a board that has notes, unless --force."""

    help = "Fill the board with a demo user and about 200 notes."

    def add_arguments(self, parser):
        parser.add_argument("--notes", type=int, default=200, metavar="N", help="how many notes to make (default: 200)")
        parser.add_argument("--force", action="store_true", help="add notes even if the board has some")

    @transaction.atomic
    def handle(self, *, notes, force, **_):
        if Note.objects.exists() and not force:
            self.stdout.write(f"The board has {Note.objects.count()} notes already; nothing added.")
        else:
            self.fill(notes)
            self.stdout.write(self.style.SUCCESS(f"Added {notes} notes."))
        self.stdout.write(f"Log in as {USERNAME} with the password {PASSWORD} (staff: the admin is at /admin/).")

    def fill(self, count):
        """Make `count` notes, spread over the last 90 days."""
        chance = random.Random(1)
        author = self.user()
        tags = [Tag.named(name) for name in TAGS]
        now = timezone.now()
        for number in range(count):
            note = Note.objects.create(
                title=f"{chance.choice(VERBS)} {chance.choice(THINGS)}",
                body=self.body(chance),
                colour=chance.choice(Note.Colour.values),
                pinned=number >= count - 3,
                author=author,
            )
            note.tags.set(chance.sample(tags, chance.randint(1, 3)))
            written = now - timedelta(minutes=90 * 24 * 60 * (count - number) / count)
            Note.objects.filter(pk=note.pk).update(created=written, updated=written)
            if number % 10 == 9:
                text = f"Shopping list for note {number + 1}\n\n" + "\n".join(f"- {thing}" for thing in THINGS)
                Attachment.from_upload(note, ContentFile(text.encode(), name="shopping list.txt"))

    @staticmethod
    def body(chance):
        """One to four paragraphs."""
        paragraphs = [chance.sample(SENTENCES, chance.randint(2, 4)) for _ in range(chance.randint(1, 4))]
        link = ["How this page is made: https://docs.djangoproject.com/en/5.2/"] if chance.random() < 0.15 else []
        return "\n\n".join([*(" ".join(paragraph) for paragraph in paragraphs), *link])

    @staticmethod
    def user():
        """The demo user, made if there is none."""
        users = get_user_model().objects
        found = users.filter(username=USERNAME).first()
        return found or users.create_superuser(USERNAME, password=PASSWORD)
