"""Applications that are ASGI, in the forms in which they come, and one that only looks like it."""

import functools


async def function(scope, receive, send):
    pass


class Called:
    async def __call__(self, scope, receive, send):
        pass


instance = Called()
partial = functools.partial(function, None)


async def generator(scope, receive, send):
    yield


class Sync:
    async def helper(self):
        pass

    def __call__(self, environ, start_response):
        start_response("200 OK", [])
        return [b"sync\n"]


sync = Sync()
