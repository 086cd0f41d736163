"""A deleted attachment takes its file with it, also when its note was deleted."""

from django.db import transaction
from django.db.models.signals import post_delete
from django.dispatch import receiver

from .models import Attachment


@receiver(post_delete, sender=Attachment)
def delete_file(instance, **_):
    """Remove the file once the deletion can no longer be rolled back."""
    transaction.on_commit(lambda: instance.file.delete(save=False))
