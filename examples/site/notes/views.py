"""The board's pages."""

import mimetypes

from django.contrib import messages
from django.contrib.auth.mixins import LoginRequiredMixin, UserPassesTestMixin
from django.db import transaction
from django.db.models import Count
from django.http import FileResponse, Http404
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse_lazy
from django.views import View
from django.views.generic import CreateView, DeleteView, DetailView, ListView, UpdateView

from .forms import AttachmentForm, NoteForm
from .models import Attachment, Note, Tag


class NoteList(ListView):
    """The board: newest first, by tag (`/tags/x/`) and by words (`?q=`), in pages (`?page=`)."""

    paginate_by = 12
    template_name = "notes/list.html"

    def setup(self, request, *args, **kwargs):
        super().setup(request, *args, **kwargs)
        self.words = request.GET.get("q", "").strip()[:200]
        self.tag = get_object_or_404(Tag, slug=kwargs["tag"]) if "tag" in kwargs else None

    def get_queryset(self):
        notes = Note.objects.matching(self.words) if self.words else Note.objects.all()
        if self.tag:
            notes = notes.filter(tags=self.tag)
        return notes.for_cards()

    def get_context_data(self, **kwargs):
        context = super().get_context_data(**kwargs)
        page = context["page_obj"]
        return context | {
            "words": self.words,
            "tag": self.tag,
            "tags": Tag.objects.annotate(note_count=Count("notes")).filter(note_count__gt=0),
            "page_numbers": page.paginator.get_elided_page_range(page.number, on_each_side=1, on_ends=1),
        }


class NoteDetail(DetailView):
    """One note with its attachments."""

    queryset = Note.objects.select_related("author").prefetch_related("tags", "attachments")
    template_name = "notes/detail.html"

    def get_context_data(self, **kwargs):
        return super().get_context_data(**kwargs) | {
            "may_change": self.object.may_be_changed_by(self.request.user),
            "attachment_form": AttachmentForm(),
        }


class OwnNoteMixin(LoginRequiredMixin, UserPassesTestMixin):
    """Only the note's author and staff get through; others are answered 403, visitors are asked to log in."""

    def test_func(self):
        if not self.request.user.is_authenticated:
            return False
        return self.note().may_be_changed_by(self.request.user)

    def note(self):
        """The note that the request would change."""
        return get_object_or_404(Note, pk=self.kwargs["pk"])


class NoteFormMixin:
    """Saves a note, its tags and its new attachments together."""

    form_class = NoteForm
    model = Note
    template_name = "notes/form.html"

    def form_valid(self, form):
        with transaction.atomic():
            note = form.save(commit=False)
            if note.author_id is None:
                note.author = self.request.user
            note.save()
            form.set_tags(note)
            for upload in form.cleaned_data["files"]:
                Attachment.from_upload(note, upload)
        messages.success(self.request, f"Saved “{note.title}”.")
        return redirect(note)


class NoteCreate(LoginRequiredMixin, NoteFormMixin, CreateView):
    """A new note by the user who is logged in."""


class NoteUpdate(OwnNoteMixin, NoteFormMixin, UpdateView):
    """An existing note, changed."""


class NoteDelete(OwnNoteMixin, DeleteView):
    """Asks, then deletes."""

    model = Note
    template_name = "notes/delete.html"
    success_url = reverse_lazy("notes:list")

    def form_valid(self, form):
        messages.success(self.request, f"Deleted “{self.object.title}”.")
        return super().form_valid(form)


class AttachmentCreate(OwnNoteMixin, View):
    """Uploads from a note's page."""

    def post(self, request, pk):
        note = self.note()
        form = AttachmentForm(request.POST, request.FILES)
        if form.is_valid():
            uploads = form.cleaned_data["files"]
            for upload in uploads:
                Attachment.from_upload(note, upload)
            messages.success(request, f"Attached {len(uploads)} file{'' if len(uploads) == 1 else 's'}.")
        else:
            messages.error(request, " ".join(form.errors["files"]))
        return redirect(note)


class AttachmentDelete(OwnNoteMixin, View):
    """Takes a file off its note."""

    def note(self):
        return get_object_or_404(Note, attachments=self.kwargs["pk"])

    def post(self, request, pk):
        attachment = get_object_or_404(Attachment.objects.select_related("note"), pk=pk)
        attachment.delete()
        messages.success(request, f"Removed {attachment.name}.")
        return redirect(attachment.note)


class AttachmentDownload(View):
    """A file as it was uploaded; `?inline` shows a picture in the page instead of saving it."""

    def get(self, request, pk, name):
        attachment = get_object_or_404(Attachment, pk=pk, name=name)
        try:
            file = attachment.file.open("rb")
        except FileNotFoundError as error:
            raise Http404("The file is gone.") from error
        kind, _ = mimetypes.guess_type(attachment.name)
        inline = "inline" in request.GET and kind in Attachment.INLINE_TYPES
        return FileResponse(file, as_attachment=not inline, filename=attachment.name)
