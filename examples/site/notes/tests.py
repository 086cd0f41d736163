"""The board's own tests: pages, forms, permissions, uploads and downloads."""

import logging
import shutil
import tempfile
from http import HTTPStatus
from io import StringIO
from pathlib import Path

from django.contrib.auth import get_user_model
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.test import Client, TestCase, override_settings
from django.urls import reverse

from .forms import NoteForm
from .models import Attachment, Note, Tag


@override_settings(PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"])
class BoardTestCase(TestCase):
    """Two writers and one note with a tag; uploads go to a folder that is removed afterwards."""

    def setUp(self):
        # Refusals are what many of these tests ask for; their log lines would bury a real failure.
        logging.disable(logging.WARNING)
        self.addCleanup(logging.disable, logging.NOTSET)
        media = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, media)
        self.media = Path(media)
        settings = override_settings(MEDIA_ROOT=media)
        settings.enable()
        self.addCleanup(settings.disable)
        users = get_user_model().objects
        self.author = users.create_user("author", password="a")
        self.other = users.create_user("other", password="b")
        self.note = Note.objects.create(title="Bread & butter", body="From the <b>corner</b> bakery.", author=self.author)
        self.note.tags.add(Tag.named("Kitchen"))

    def form(self, **changes):
        """What a browser would send from the note form."""
        return {"title": "Title", "body": "Body", "colour": "sea", "tag_words": ""} | changes


class ReadingTests(BoardTestCase):
    """What visitors see."""

    def test_list_shows_notes_and_tags_escaped(self):
        page = self.client.get("/")
        self.assertContains(page, "Bread &amp; butter")
        self.assertContains(page, "&lt;b&gt;corner")
        self.assertContains(page, "/tags/kitchen/")

    def test_list_needs_few_queries_however_many_notes(self):
        call_command("seed", "--force", "--notes", "30", stdout=StringIO())
        with self.assertNumQueries(5):
            self.client.get("/")

    def test_pinned_notes_come_first_then_the_newest(self):
        for title, pinned in [("Pinned", True), ("Newest", False)]:
            Note.objects.create(title=title, body="x", pinned=pinned, author=self.author)
        titles = [note.title for note in self.client.get("/").context["page_obj"]]
        self.assertEqual(titles, ["Pinned", "Newest", "Bread & butter"])

    def test_pages(self):
        for number in range(25):
            Note.objects.create(title=f"Note {number}", body="x", author=self.author)
        self.assertContains(self.client.get("/?page=3"), "Newer")
        self.assertEqual(self.client.get("/?page=4").status_code, HTTPStatus.NOT_FOUND)

    def test_search_wants_every_word_in_title_body_or_tag(self):
        for query, found in [("bread", 1), ("BAKERY bread", 1), ("kitchen", 1), ("bread wine", 0), ("%", 0)]:
            with self.subTest(query=query):
                self.assertEqual(len(self.client.get("/", {"q": query}).context["page_obj"]), found)

    def test_tag_page(self):
        Note.objects.create(title="Untagged", body="x", author=self.author)
        self.assertNotContains(self.client.get("/tags/kitchen/"), "Untagged")
        self.assertEqual(self.client.get("/tags/none/").status_code, HTTPStatus.NOT_FOUND)

    def test_detail_offers_changes_to_the_author_only(self):
        edit = reverse("notes:update", args=[self.note.pk])
        self.assertNotContains(self.client.get(self.note.get_absolute_url()), edit)
        self.client.force_login(self.author)
        self.assertContains(self.client.get(self.note.get_absolute_url()), edit)

    def test_missing_note_gets_the_sites_own_page(self):
        self.assertContains(self.client.get("/notes/999/"), "Not on the board", status_code=404)


class WritingTests(BoardTestCase):
    """Creating, changing, deleting."""

    def test_visitors_are_sent_to_the_login(self):
        for url in ["/notes/new/", f"/notes/{self.note.pk}/edit/", f"/notes/{self.note.pk}/delete/"]:
            self.assertRedirects(self.client.get(url), f"/login/?next={url}")

    def test_create(self):
        self.client.force_login(self.author)
        page = self.client.post("/notes/new/", self.form(tag_words="Wine, kitchen ,WINE"), follow=True)
        note = Note.objects.get(title="Title")
        self.assertEqual(page.redirect_chain, [(note.get_absolute_url(), HTTPStatus.FOUND)])
        self.assertContains(page, "Saved “Title”.")
        self.assertEqual([tag.name for tag in note.tags.all()], ["kitchen", "wine"])
        self.assertEqual(note.author, self.author)

    def test_form_errors_are_shown_and_nothing_is_saved(self):
        self.client.force_login(self.author)
        self.assertContains(self.client.post("/notes/new/", self.form(title="")), "This field is required.")
        self.assertContains(self.client.post("/notes/new/", self.form(tag_words="!!")), "cannot be a tag")
        many = ",".join(f"t{number}" for number in range(NoteForm.TAGS_MAX + 1))
        self.assertContains(self.client.post("/notes/new/", self.form(tag_words=many)), "At most 8 tags")
        self.assertEqual(Note.objects.count(), 1)

    def test_update_keeps_the_author(self):
        staff = get_user_model().objects.create_user("staff", is_staff=True)
        self.client.force_login(staff)
        self.client.post(f"/notes/{self.note.pk}/edit/", self.form(title="New"))
        self.note.refresh_from_db()
        self.assertEqual((self.note.title, self.note.author), ("New", self.author))

    def test_others_may_not_change_or_delete(self):
        self.client.force_login(self.other)
        for action in ["edit", "delete", "attachments"]:
            answer = self.client.post(f"/notes/{self.note.pk}/{action}/", self.form())
            self.assertEqual(answer.status_code, HTTPStatus.FORBIDDEN)
        self.assertTrue(Note.objects.filter(title="Bread & butter").exists())

    def test_delete_takes_the_files_along(self):
        with self.captureOnCommitCallbacks(execute=True):
            Attachment.from_upload(self.note, SimpleUploadedFile("a.txt", b"text"))
            self.client.force_login(self.author)
            self.client.post(f"/notes/{self.note.pk}/delete/")
        self.assertFalse(Note.objects.exists())
        self.assertEqual([path for path in self.media.rglob("*") if path.is_file()], [])

    def test_csrf_token_is_needed(self):
        browser = Client(enforce_csrf_checks=True)
        browser.force_login(self.author)
        self.assertEqual(browser.post("/notes/new/", self.form()).status_code, HTTPStatus.FORBIDDEN)
        browser.get("/notes/new/")
        token = browser.cookies["csrftoken"].value
        answer = browser.post("/notes/new/", self.form(csrfmiddlewaretoken=token))
        self.assertEqual(answer.status_code, HTTPStatus.FOUND)

    def test_login_and_logout(self):
        self.client.post("/login/", {"username": "author", "password": "a"})
        self.assertContains(self.client.get("/"), "Log out author")
        self.client.post("/logout/")
        self.assertContains(self.client.get("/"), "Log in")


class AttachmentTests(BoardTestCase):
    """Uploads and downloads."""

    def upload(self, *files):
        """Attach files as the author and give the stored ones back."""
        self.client.force_login(self.author)
        self.client.post(f"/notes/{self.note.pk}/attachments/", {"files": files})
        return list(self.note.attachments.all())

    def test_a_download_is_what_was_uploaded(self):
        content = bytes(range(256)) * 400
        [attachment] = self.upload(SimpleUploadedFile("plan é.bin", content))
        answer = self.client.get(attachment.get_absolute_url())
        self.assertEqual(b"".join(answer), content)
        self.assertEqual(answer["Content-Length"], str(len(content)))
        self.assertEqual(answer["Content-Disposition"], "attachment; filename*=utf-8''plan%20%C3%A9.bin")

    def test_several_files_at_once_and_removal(self):
        first, second = self.upload(SimpleUploadedFile("a.txt", b"a"), SimpleUploadedFile("b.txt", b"b"))
        self.client.post(reverse("notes:detach", args=[first.pk]))
        self.assertEqual(list(self.note.attachments.all()), [second])

    def test_only_pictures_are_shown_in_the_page(self):
        picture, script = self.upload(SimpleUploadedFile("a.png", b"\x89PNG"), SimpleUploadedFile("b.svg", b"<svg/>"))
        for attachment, disposition in [(picture, "inline"), (script, "attachment")]:
            answer = self.client.get(attachment.get_absolute_url() + "?inline")
            self.assertTrue(answer["Content-Disposition"].startswith(disposition))
            answer.close()

    @override_settings(ATTACHMENT_BYTES_MAX=3)
    def test_a_file_that_is_too_large_is_refused(self):
        self.assertEqual(self.upload(SimpleUploadedFile("a.txt", b"four")), [])
        self.assertContains(self.client.get("/"), "a.txt is larger than")

    def test_a_lost_file_is_404(self):
        [attachment] = self.upload(SimpleUploadedFile("a.txt", b"a"))
        Path(attachment.file.path).unlink()
        self.assertEqual(self.client.get(attachment.get_absolute_url()).status_code, HTTPStatus.NOT_FOUND)


class SeedTests(BoardTestCase):
    """The seed command and the admin that its user sees."""

    def test_seed_fills_an_empty_board_once(self):
        Note.objects.all().delete()
        for _ in range(2):
            call_command("seed", "--notes", "20", stdout=StringIO())
        self.assertEqual((Note.objects.count(), Attachment.objects.count()), (20, 2))

    def test_seed_user_can_use_the_admin(self):
        call_command("seed", "--force", "--notes", "1", stdout=StringIO())
        self.client.login(username="demo", password="notes-on-the-board")
        for url in ["/admin/", "/admin/notes/note/", f"/admin/notes/note/{self.note.pk}/change/", "/admin/notes/tag/"]:
            self.assertEqual(self.client.get(url).status_code, HTTPStatus.OK)
