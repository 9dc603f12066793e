"""Sign in and out."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from core import errors
from rbac import logins


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def sign_in(request: HttpRequest) -> HttpResponse:
    """The form, and what becomes of it."""
    target = _own_page(request)
    if request.method != "POST":
        if request.user.is_authenticated:
            return HttpResponseRedirect(target)
        return render(request, "web/sign_in.html", {"next": target})
    name = request.POST.get("username", "")
    try:
        user = logins.sign_in(request, username=name, password=request.POST.get("password", ""))
    except errors.TooManyFailures as refusal:
        return _refused(request, target, name, refusal)
    if user is None:
        return _refused(request, target, name, None)
    return HttpResponseRedirect(target)


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    logins.sign_out(request)
    return HttpResponseRedirect("/")


def _refused(request: HttpRequest, target: str, name: str, refusal: errors.TooManyFailures | None) -> HttpResponse:
    if refusal is None:
        problem, status = _("The user name or password is wrong."), 401
    else:
        problem = _("Too many failed attempts. Try again in %(seconds)s seconds.") % {"seconds": refusal.retry_after}
        status = 429
    context = {"next": target, "username": name, "problem": problem}
    response = render(request, "web/sign_in.html", context, status=status)
    if refusal is not None:
        response["Retry-After"] = str(refusal.retry_after)
    return response


def _own_page(request: HttpRequest) -> str:
    """Where to go afterwards: only to pages of our own."""
    wanted = request.POST.get("next") or request.GET.get("next") or "/"
    is_own = url_has_allowed_host_and_scheme(wanted, allowed_hosts=None) and wanted.startswith("/")
    return wanted if is_own else "/"
