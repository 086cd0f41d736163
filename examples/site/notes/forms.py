"""Forms: a note with its tags as one line of words, and uploads of several files at once."""

from django import forms
from django.conf import settings
from django.template.defaultfilters import filesizeformat

from .models import Note, Tag


class FilesInput(forms.ClearableFileInput):
    """A file input that takes several files."""

    allow_multiple_selected = True


class FilesField(forms.FileField):
    """Several uploaded files, each within the size limit."""

    widget = FilesInput

    def clean(self, data, initial=None):
        """A list of uploads, empty when none came."""
        files = data if isinstance(data, (list, tuple)) else [data]
        cleaned = [upload for upload in (super(FilesField, self).clean(file, initial) for file in files) if upload]
        for upload in cleaned:
            if upload.size > settings.ATTACHMENT_BYTES_MAX:
                limit = filesizeformat(settings.ATTACHMENT_BYTES_MAX)
                raise forms.ValidationError(f"{upload.name} is larger than {limit}.")
        return cleaned


class AttachmentForm(forms.Form):
    """Uploads on a note's page."""

    files = FilesField(label="Files")


class NoteForm(forms.ModelForm):
    """A note; tags are typed as words with commas between them."""

    TAGS_MAX = 8

    tag_words = forms.CharField(
        label="Tags",
        required=False,
        max_length=300,
        widget=forms.TextInput(attrs={"placeholder": "kitchen, ideas, to read", "autocomplete": "off"}),
    )
    files = FilesField(label="Attachments", required=False)

    class Meta:
        model = Note
        fields = ["title", "body", "colour", "pinned"]
        widgets = {
            "title": forms.TextInput(attrs={"autofocus": True, "placeholder": "What is it about?"}),
            "body": forms.Textarea(attrs={"rows": 12, "placeholder": "Write it down…"}),
            "colour": forms.RadioSelect,
        }

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.fields["tag_words"].initial = ", ".join(tag.name for tag in self.instance.tags.all())

    def clean_tag_words(self):
        """A list of different tag names."""
        words = [" ".join(word.split()) for word in self.cleaned_data["tag_words"].split(",")]
        words = list(dict.fromkeys(word.lower() for word in words if word))
        if len(words) > self.TAGS_MAX:
            raise forms.ValidationError(f"At most {self.TAGS_MAX} tags, please.")
        for word in words:
            if len(word) > 40 or not any(character.isascii() and character.isalnum() for character in word):
                raise forms.ValidationError(f"“{word}” cannot be a tag: up to 40 characters with a letter or digit.")
        return words

    def set_tags(self, note):
        """Give the saved note the tags that were typed."""
        note.tags.set([Tag.named(word) for word in self.cleaned_data["tag_words"]])
