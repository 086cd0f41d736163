"""What the board stores: notes, their tags and the files attached to them."""

import secrets
from pathlib import PurePosixPath

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils.text import slugify


class Tag(models.Model):
    """A word that groups notes."""

    name = models.CharField(max_length=40, unique=True)
    slug = models.SlugField(max_length=48, unique=True)

    class Meta:
        ordering = ["name"]

    def __str__(self):
        return self.name

    @classmethod
    def named(cls, name):
        """The tag of this name, made if there is none. Names that differ only in case or punctuation are one tag."""
        slug = slugify(name)[:48]
        tag, _ = cls.objects.get_or_create(slug=slug, defaults={"name": name.lower()[:40]})
        return tag


class NoteQuerySet(models.QuerySet):
    """The ways in which the board asks for notes."""

    def for_cards(self):
        """With all that a card on the list page shows: three queries for any number of notes."""
        return self.select_related("author").prefetch_related("tags", "attachments")

    def matching(self, words):
        """Notes that hold each of the words in title, body or tags."""
        found = self
        for word in words.split():
            in_tags = Note.tags.through.objects.filter(tag__name__icontains=word).values("note_id")
            found = found.filter(Q(title__icontains=word) | Q(body__icontains=word) | Q(pk__in=in_tags))
        return found


class Note(models.Model):
    """One note on the board."""

    class Colour(models.TextChoices):
        """The colour of a note's edge; the values are class names in the style sheet."""

        SLATE = "slate", "Slate"
        AMBER = "amber", "Amber"
        ROSE = "rose", "Rose"
        LEAF = "leaf", "Leaf"
        SEA = "sea", "Sea"
        PLUM = "plum", "Plum"

    title = models.CharField(max_length=120)
    body = models.TextField(max_length=20_000)
    colour = models.CharField(max_length=8, choices=Colour, default=Colour.SLATE)
    pinned = models.BooleanField(default=False, help_text="Keep at the top of the board.")
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="notes")
    tags = models.ManyToManyField(Tag, related_name="notes", blank=True)
    created = models.DateTimeField(auto_now_add=True)
    updated = models.DateTimeField(auto_now=True)

    objects = NoteQuerySet.as_manager()

    class Meta:
        ordering = ["-pinned", "-updated", "-pk"]
        indexes = [models.Index(fields=["-pinned", "-updated", "-id"], name="note_board_order")]

    def __str__(self):
        return self.title

    def get_absolute_url(self):
        """The note's own page."""
        return reverse("notes:detail", args=[self.pk])

    def may_be_changed_by(self, user):
        """True for the author and for staff."""
        return user.is_authenticated and (user.is_staff or user.pk == self.author_id)


def attachment_path(attachment, name):
    """Where an upload is kept: a folder that nobody can guess, so that equal names never meet."""
    return f"attachments/{secrets.token_hex(8)}/{PurePosixPath(name).name}"


class Attachment(models.Model):
    """A file that belongs to a note."""

    # Types that a browser shows without running anything in them.
    INLINE_TYPES = {"image/png", "image/jpeg", "image/gif", "image/webp"}

    note = models.ForeignKey(Note, on_delete=models.CASCADE, related_name="attachments")
    file = models.FileField(upload_to=attachment_path, max_length=255)
    name = models.CharField(max_length=200)
    size = models.PositiveBigIntegerField(help_text="Bytes.")
    uploaded = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name", "pk"]

    def __str__(self):
        return self.name

    def get_absolute_url(self):
        """The download."""
        return reverse("notes:attachment", args=[self.pk, self.name])

    @classmethod
    def from_upload(cls, note, upload):
        """Store an uploaded file with its note."""
        return cls.objects.create(note=note, file=upload, name=PurePosixPath(upload.name).name[:200], size=upload.size)
