"""Services as they answer: the mined interfaces over made-up threads, with the limits that they enforce."""

import random
import re
from datetime import UTC, datetime, timedelta
from typing import Any

from support.loopback import Reply, SteppedClock

START = datetime(2020, 1, 1, tzinfo=UTC)
BULK = START + timedelta(days=100)
PHRASES = ["attention mask", "kv cache"]
EVIL = "<script>alert(1)</script> \u202eevil\x00\x1b[31m ../../etc/passwd <pad> token"


class Window:
    """Counts requests and refuses those beyond a limit, as a service does: in any window of its own clock."""

    def __init__(self, requests: int, seconds: float) -> None:
        self.requests, self.seconds = requests, seconds
        self.times: list[float] = []
        self.refused = 0

    def admit(self, now: float) -> bool:
        recent = [time for time in self.times if time > now - self.seconds]
        if len(recent) >= self.requests:
            self.refused += 1
            return False
        self.times = [*recent, now]
        return True

    def left(self, now: float) -> int:
        return self.requests - sum(time > now - self.seconds for time in self.times)


class Fake:
    """What all services share: threads that come, go and change while they are read."""

    def __init__(self, clock: SteppedClock, seed: int, size: int, change: float = 0.0) -> None:
        self.clock, self.random, self.change = clock, random.Random(f"world {seed}"), change
        self.threads: dict[int, dict[str, Any]] = {}
        self.removed: set[int] = set()
        self.added: set[int] = set()
        self.refused = 0
        for _ in range(size):
            self.add()
        self.added.clear()

    def add(self) -> None:
        number = max(self.threads, default=0) + 1
        created = START + timedelta(seconds=self.random.randrange(300 * 86400))
        if self.random.random() < 0.4:  # many at once, as bots and migrations open them
            created = BULK
        self.threads[number] = {
            "number": number,
            "created": created,
            "title": EVIL if number % 50 == 1 else f"Wrong {self.random.choice(PHRASES)} {number}",
            "body": f"The {self.random.choice(PHRASES)} of a{number}@b.org fails, says @person{number % 7}",
            "author": f"person{number % 7}",
            "replies": self.random.choice([0, 0, 0, 0, 0, 0, 1, 3]),
            "closed": self.random.random() < 0.05,
        }
        self.added.add(number)

    def evolve(self) -> None:
        if self.random.random() < self.change:
            what = self.random.choice(["add", "remove", "edit"])
            if what == "add":
                self.add()
            elif self.threads:
                number = self.random.choice(sorted(self.threads))
                # within one second only the page's number tells pages apart: docs/mining.md
                if what == "remove" and self.threads[number]["created"] != BULK:
                    del self.threads[number]
                    self.removed.add(number)
                else:
                    self.threads[number]["title"] += " (edited)"

    def answer(self, path: str, query: dict[str, str], headers: Any) -> Reply:
        raise NotImplementedError

    def limited(self) -> Reply:
        raise NotImplementedError


def stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


class FakeGitHub(Fake):
    """https://docs.github.com/en/rest"""

    repository = "owner/name"

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.windows = {"search": Window(30, 60), "core": Window(5000, 3600)}

    def answer(self, path: str, query: dict[str, str], headers: Any) -> Reply:
        kind = "search" if path.startswith("/search/") else "core"
        window, now = self.windows[kind], self.clock.now()
        if not window.admit(now):
            return Reply(
                403,
                {"message": "API rate limit exceeded"},
                {"x-ratelimit-remaining": "0", **self._reset(window)},
            )
        reply = self._answer(path, query)
        reply.headers |= {
            "x-ratelimit-remaining": str(window.left(now)),
            "x-ratelimit-resource": kind,
            **self._reset(window),
        }
        return reply

    def _reset(self, window: Window) -> dict[str, str]:
        return {
            "x-ratelimit-limit": str(window.requests),
            "x-ratelimit-reset": str(int(window.times[0] + window.seconds) + 1),
        }

    def limited(self) -> Reply:
        return Reply(403, {"message": "You have exceeded a secondary rate limit. Please wait a few minutes."})

    def _answer(self, path: str, query: dict[str, str]) -> Reply:
        if path == "/search/issues":
            return self._search(query)
        if path == "/search/repositories":
            return self._repositories()
        match = re.fullmatch(r"/repos/owner/name/issues/(\d+)(/timeline)?", path)
        thread = self.threads.get(int(match[1])) if match else None
        if thread is None:
            return Reply(
                404,
                {
                    "message": "Not Found",
                    "documentation_url": "https://docs.github.com/rest",
                    "status": "404",
                },
            )
        return Reply(200, self.item(thread)) if not match[2] else self._timeline(thread, int(query["page"]))

    def _search(self, query: dict[str, str]) -> Reply:
        words = query["q"]
        start, end = (
            datetime.fromisoformat(text) for text in re.search(r"created:(\S+)\.\.(\S+)", words).groups()
        )
        phrases = re.findall(r'"([^"]+)"', words.partition("(")[2])
        pulls = "is:pull-request" in words
        found = [
            thread
            for thread in self.threads.values()
            if start <= thread["created"] <= end
            and (thread["number"] % 10 == 0) == pulls
            and any(phrase in (thread["title"] + thread["body"]).lower() for phrase in phrases)
        ]
        found.sort(key=lambda thread: (thread["created"], thread["number"]))
        size, page = int(query["per_page"]), int(query["page"])
        if size * page > 1000:
            return Reply(422, {"message": "Only the first 1000 search results are available"})
        items = [self.item(thread) | {"score": 1.0} for thread in found[size * (page - 1) : size * page]]
        return Reply(
            200,
            {
                "total_count": len(found),
                "incomplete_results": False,
                "search_type": "lexical",
                "items": items,
            },
        )

    def _repositories(self) -> Reply:
        url = f"https://api.github.com/repos/{self.repository}"
        plain = (
            "archive assignees blobs branches collaborators comments commits compare contents contributors"
        )
        plain += " deployments downloads events forks git_commits git_refs git_tags hooks html issue_comment"
        plain += " issue_events issues keys labels languages merges milestones notifications pulls releases"
        plain += " stargazers statuses subscribers subscription tags teams trees clone git ssh svn mirror"
        counts = (
            "forks forks_count open_issues open_issues_count size stargazers_count watchers watchers_count"
        )
        flags = "fork private has_downloads has_issues has_projects has_wiki has_pages archived disabled"
        names = {
            "id": 1,
            "node_id": "R",
            "name": "name",
            "full_name": self.repository,
            "url": url,
            "score": 1.0,
        }
        names |= {
            "owner": self.user("owner"),
            "description": None,
            "default_branch": "main",
            "homepage": None,
        }
        names |= {"language": "Python", "license": None}
        names |= {key: stamp(START) for key in ("pushed_at", "created_at", "updated_at")}
        names |= {f"{key}_url": url for key in plain.split()} | dict.fromkeys(counts.split(), 20)
        names |= dict.fromkeys(flags.split(), False)
        return Reply(200, {"total_count": 1, "incomplete_results": False, "items": [names]})

    def user(self, name: str) -> dict[str, Any]:
        url = f"https://api.github.com/users/{name}"
        names = "followers following gists starred subscriptions organizations repos events received_events"
        return {f"{key}_url": f"{url}/{key}" for key in names.split()} | {
            "login": name,
            "id": sum(map(ord, name)),
            "node_id": "MDQ6",
            "avatar_url": "https://avatars.example/1",
            "gravatar_id": "",
            "url": url,
            "html_url": f"https://github.com/{name}",
            "type": "User",
            "site_admin": False,
        }

    def item(self, thread: dict[str, Any]) -> dict[str, Any]:
        number, pull = thread["number"], thread["number"] % 10 == 0
        url = f"https://api.github.com/repos/{self.repository}/issues/{number}"
        html = f"https://github.com/{self.repository}/{'pull' if pull else 'issues'}/{number}"
        item = {
            "url": url,
            "repository_url": f"https://api.github.com/repos/{self.repository}",
            "labels_url": f"{url}/labels{{/name}}",
            "comments_url": f"{url}/comments",
            "events_url": f"{url}/events",
            "html_url": html,
            "id": 1000 + number,
            "node_id": "I_kw",
            "number": number,
            "title": thread["title"],
            "user": self.user(thread["author"]),
            "labels": [
                {
                    "id": 1,
                    "node_id": "L",
                    "url": f"{url}/l",
                    "name": "bug",
                    "description": None,
                    "color": "f00",
                    "default": True,
                }
            ],
            "state": "closed" if thread["closed"] else "open",
            "locked": False,
            "assignee": None,
            "assignees": [],
            "milestone": None,
            "comments": thread["replies"],
            "created_at": stamp(thread["created"]),
            "updated_at": stamp(thread["created"] + timedelta(days=1)),
            "closed_at": stamp(thread["created"] + timedelta(days=2)) if thread["closed"] else None,
            "author_association": "NONE",
            "body": thread["body"],
        }
        if pull:
            merged = stamp(thread["created"] + timedelta(days=2)) if thread["closed"] else None
            item["pull_request"] = {
                "url": url,
                "html_url": html,
                "diff_url": html,
                "patch_url": html,
                "merged_at": merged,
            }
            item["draft"] = False
        return item

    def _timeline(self, thread: dict[str, Any], page: int) -> Reply:
        number = thread["number"]
        url = f"https://api.github.com/repos/{self.repository}/issues"
        when = stamp(thread["created"] + timedelta(hours=1))
        events: list[dict[str, Any]] = [
            {
                "event": "commented",
                "id": number * 1000 + reply,
                "node_id": "IC",
                "url": f"{url}/comments/{reply}",
                "html_url": f"https://github.com/{self.repository}/issues/{number}#{reply}",
                "issue_url": f"{url}/{number}",
                "created_at": when,
                "updated_at": when,
                "author_association": "NONE",
                "actor": self.user(f"person{reply % 7}"),
                "user": self.user(f"person{reply % 7}"),
                "body": f"Comment {reply} on {number}",
            }
            for reply in range(thread["replies"])
        ]
        if thread["closed"]:
            events.append(
                {
                    "event": "closed",
                    "id": number * 1000 + 999,
                    "node_id": "CE",
                    "url": f"{url}/events/1",
                    "actor": self.user("maintainer"),
                    "commit_id": "a" * 40,
                    "commit_url": f"https://api.github.com/repos/{self.repository}/commits/{'a' * 40}",
                    "created_at": when,
                    "performed_via_github_app": None,
                    "state_reason": None,
                }
            )
        size = 2  # small pages: threads span several
        more = (
            {"link": f'<https://api.github.com/x?page={page + 1}>; rel="next"'}
            if len(events) > size * page
            else {}
        )
        return Reply(200, events[size * (page - 1) : size * page], more)

    def expected(self, number: int) -> str:
        return f"https://github.com/{self.repository}/{'pull' if number % 10 == 0 else 'issues'}/{number}"


class FakeHub(Fake):
    """https://huggingface.co/docs/hub/repositories-pull-requests-discussions"""

    per_page = 10

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.window = Window(1000, 300)

    def limited(self) -> Reply:
        return Reply(429, {"error": "Too many requests"}, {"ratelimit": '"api";r=0;t=42'})

    def answer(self, path: str, query: dict[str, str], headers: Any) -> Reply:
        now = self.clock.now()
        if not self.window.admit(now):
            return self.limited()
        limit = {
            "ratelimit": f'"api";r={self.window.left(now)};t={int(self.window.times[0] + 300 - now) + 1}'
        }
        match = re.fullmatch(r"/api/models/owner/name/discussions(?:/(\d+))?", path)
        if match and match[1] is None:
            newest = sorted(self.threads, reverse=True)
            page = newest[int(query["p"]) * self.per_page :][: self.per_page]
            listed = [{"num": number, "title": self.threads[number]["title"]} for number in page]
            content = {"discussions": listed, "count": len(newest), "start": int(query["p"]) * self.per_page}
            return Reply(200, content, limit)
        thread = self.threads.get(int(match[1])) if match else None
        if thread is None:
            return Reply(404, {"error": "Not found"}, limit)
        created = thread["created"].isoformat().replace("+00:00", ".000Z")
        texts = [thread["body"], *(f"Comment {reply}" for reply in range(thread["replies"]))]
        events: list[dict[str, Any]] = [
            {
                "id": f"{index}",
                "type": "comment",
                "author": {"name": thread["author"], "type": "user"},
                "createdAt": created,
                "data": {
                    "latest": {"raw": raw, "html": raw},
                    "hidden": False,
                    "edited": False,
                    "history": [],
                },
            }
            for index, raw in enumerate(texts)
        ]
        if thread["closed"]:
            events.append(
                {"id": "s", "type": "status-change", "createdAt": created, "data": {"status": "closed"}}
            )
        return Reply(
            200,
            {
                "num": thread["number"],
                "title": thread["title"],
                "author": {"name": thread["author"]},
                "createdAt": created,
                "status": "closed" if thread["closed"] else "open",
                "isPullRequest": False,
                "repo": {"name": "owner/name", "type": "model"},
                "events": events,
            },
            limit,
        )

    def expected(self, number: int) -> str:
        return f"https://huggingface.co/owner/name/discussions/{number}"


class FakeForum(Fake):
    """https://docs.discourse.org"""

    per_page = 50

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.window = Window(8, 60)

    def limited(self) -> Reply:
        return Reply(429, {"errors": ["slow down"], "error_type": "rate_limit"}, {"retry-after": "17"})

    def answer(self, path: str, query: dict[str, str], headers: Any) -> Reply:
        if path == "/search.json":
            return self._search(query) if self.window.admit(self.clock.now()) else self.limited()
        match = re.fullmatch(r"/t/(\d+)(/posts)?\.json", path)
        thread = self.threads.get(int(match[1])) if match else None
        if thread is None:
            return Reply(404, {"errors": ["not found"], "error_type": "not_found"})
        number = thread["number"]
        numbers = [number * 100 + index for index in range(thread["replies"] + 1)]
        wanted = numbers[:2] if not match[2] else [int(post) for post in query["post_ids[]"].split(",")]
        posts = [
            {
                "id": post,
                "username": thread["author"],
                "cooked": f"<p>{thread['body']}</p>" if post == numbers[0] else f"<p>Post {post}</p>",
                "created_at": thread["created"].isoformat(),
            }
            for post in wanted
        ]
        if match[2]:
            return Reply(200, {"id": number, "post_stream": {"posts": posts}})
        return Reply(
            200,
            {
                "id": number,
                "title": thread["title"],
                "created_at": thread["created"].isoformat(),
                "closed": thread["closed"],
                "tags": ["models"],
                "post_stream": {"posts": posts, "stream": numbers},
            },
        )

    def _search(self, query: dict[str, str]) -> Reply:
        match = re.fullmatch(r'"(.+)" after:(\S+) before:(\S+) order:latest_topic', query["q"])
        after, before = (datetime.fromisoformat(text).replace(tzinfo=UTC) for text in match.groups()[1:])
        found = [
            number
            for number, thread in sorted(self.threads.items(), reverse=True)
            if after < thread["created"] < before
            and match[1] in f"{thread['title']} {thread['body']}".lower()
        ]
        page = int(query["page"])
        topics = [{"id": number} for number in found[(page - 1) * self.per_page : page * self.per_page]]
        more = True if len(found) > page * self.per_page else None
        content: dict[str, Any] = {"posts": [], "grouped_search_result": {"more_full_page_results": more}}
        return Reply(200, content | ({"topics": topics} if topics else {}))

    def expected(self, number: int) -> str:
        return f"https://discuss.huggingface.co/t/{number}"


class FakeStackExchange(Fake):
    """https://api.stackexchange.com/docs"""

    daily = 10_000
    backs_off = 0.2  # share of answers that ask for patience

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.left, self.day = self.daily, 0
        self.silent_until: dict[str, float] = {}

    def limited(self) -> Reply:
        message = "too many requests from this IP, more requests available in 31 seconds"
        return Reply(400, {"error_id": 502, "error_name": "throttle_violation", "error_message": message})

    def answer(self, path: str, query: dict[str, str], headers: Any) -> Reply:
        now = self.clock.now()
        if int(now // 86400) != self.day:
            self.left, self.day = self.daily, int(now // 86400)
        if self.left == 0 or now < self.silent_until.get(path, 0):
            self.refused += 1
            return self.limited()
        self.left -= 1
        content = self._answer(path.removeprefix("/2.3"), query) | {
            "quota_remaining": self.left,
            "quota_max": self.daily,
        }
        if self.random.random() < self.backs_off:
            content["backoff"] = 10
            self.silent_until[path] = now + 10
        return Reply(400 if "error_id" in content else 200, content)

    def _answer(self, path: str, query: dict[str, str]) -> dict[str, Any]:
        if path == "/filters/create":
            return {
                "items": [{"filter": "!made", "included_fields": query["include"].split(";")}],
                "has_more": False,
            }
        if query.get("filter") != "!made":
            return {"error_id": 400, "error_name": "bad_parameter", "error_message": "filter"}
        threads = self.threads.values()
        if path.startswith("/questions/"):
            found = [thread for thread in threads if thread["number"] == int(path.rpartition("/")[2])]
        else:
            phrase = query["q"].strip('"')
            found = [
                thread
                for thread in threads
                if int(query["fromdate"]) <= thread["created"].timestamp() <= int(query["todate"])
                and phrase in f"{thread['title']} {thread['body']}".lower()
            ]
        found.sort(key=lambda thread: (thread["created"], thread["number"]))
        size, page = int(query["pagesize"]), int(query.get("page", "1"))
        if page > 25 and "key" not in query:
            return {"error_id": 403, "error_name": "access_denied", "error_message": "page above 25"}
        items = [self._question(thread) for thread in found[size * (page - 1) : size * page]]
        return {"items": items, "has_more": len(found) > size * page, "total": len(found)}

    def _question(self, thread: dict[str, Any]) -> dict[str, Any]:
        created = int(thread["created"].timestamp())
        question: dict[str, Any] = {
            "question_id": thread["number"],
            "title": thread["title"].replace("<", "&lt;"),
            "body": f"<p>{thread['body']}</p><pre><code>x &lt; y</code></pre>",
            "tags": ["pytorch"],
            "owner": {"display_name": thread["author"], "user_id": thread["number"] % 7},
            "creation_date": created,
            "last_activity_date": created + 60,
            "answer_count": thread["replies"],
            "answers": [
                {
                    "answer_id": reply + 1,
                    "body": f"<p>Answer {reply}</p>",
                    "is_accepted": reply == 0,
                    "owner": {"display_name": "helper"},
                    "creation_date": created,
                }
                for reply in range(thread["replies"])
            ],
        }
        if thread["replies"]:
            question["accepted_answer_id"] = 1
        return question

    def expected(self, number: int) -> str:
        return f"https://stackoverflow.com/questions/{number}"


FAKES = {
    "github": FakeGitHub,
    "huggingface": FakeHub,
    "huggingface_forum": FakeForum,
    "stackexchange": FakeStackExchange,
}
