"""The board in Django's admin."""

from django.contrib import admin

from .models import Attachment, Note, Tag


class AttachmentInline(admin.TabularInline):
    """A note's files, on the note's page. Adding them is the board's business: it records name and size."""

    model = Attachment
    extra = 0
    readonly_fields = ["file", "name", "size", "uploaded"]

    def has_add_permission(self, request, obj):
        return False


@admin.register(Note)
class NoteAdmin(admin.ModelAdmin):
    """Notes: searched, filtered, and ordered as on the board."""

    list_display = ["title", "author", "colour", "pinned", "updated"]
    list_filter = ["pinned", "colour", "tags"]
    list_select_related = ["author"]
    search_fields = ["title", "body"]
    autocomplete_fields = ["tags", "author"]
    date_hierarchy = "created"
    inlines = [AttachmentInline]


@admin.register(Tag)
class TagAdmin(admin.ModelAdmin):
    """Tags."""

    list_display = ["name", "slug"]
    search_fields = ["name"]
    prepopulated_fields = {"slug": ["name"]}
