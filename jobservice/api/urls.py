"""/jobservice and /schedules."""

from __future__ import annotations

from django.urls import path

from jobservice.api.monitor import Jobs, Pools, Queues, Schedules

urlpatterns = [
    path("jobservice/pools", Pools.as_view({"get": "list"})),
    path("jobservice/pools/<str:pool_id>/workers", Pools.as_view({"get": "workers"})),
    path("jobservice/jobs/<str:job_id>", Jobs.as_view({"put": "stop"})),
    path("jobservice/jobs/<str:job_id>/log", Jobs.as_view({"get": "log"})),
    path("jobservice/queues", Queues.as_view({"get": "list"})),
    path("jobservice/queues/<str:job_type>", Queues.as_view({"put": "act"})),
    path("schedules", Schedules.as_view({"get": "list"})),
    path("schedules/<str:job_type>/paused", Schedules.as_view({"get": "paused"})),
]
