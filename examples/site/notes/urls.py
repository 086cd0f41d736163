"""URLs of the board."""

from django.urls import path

from . import views

app_name = "notes"
urlpatterns = [
    path("", views.NoteList.as_view(), name="list"),
    path("tags/<slug:tag>/", views.NoteList.as_view(), name="tag"),
    path("notes/new/", views.NoteCreate.as_view(), name="create"),
    path("notes/<int:pk>/", views.NoteDetail.as_view(), name="detail"),
    path("notes/<int:pk>/edit/", views.NoteUpdate.as_view(), name="update"),
    path("notes/<int:pk>/delete/", views.NoteDelete.as_view(), name="delete"),
    path("notes/<int:pk>/attachments/", views.AttachmentCreate.as_view(), name="attach"),
    path("attachments/<int:pk>/delete/", views.AttachmentDelete.as_view(), name="detach"),
    path("attachments/<int:pk>/<path:name>", views.AttachmentDownload.as_view(), name="attachment"),
]
