//! The one list of the differences there may be. COMPATIBILITY.md has a row for each.

use super::difference::{CANCELLED, CLAIM, DONE, Difference, NO_TASKS, PENDING, both, postgresql, sqlite};

pub(super) const DIFFERENCES: &[Difference] = &[
    Difference {
        name: "repeated post",
        why: "a client whose answer was lost may post again without harm",
        seen: &[
            both("a task posted again > second", "400", "200"),
            both("a task posted again, written differently > second", "400", "200"),
            both("a finished task posted again > post again", "400", "200"),
        ],
    },
    Difference {
        name: "repeated result",
        why: "an agent whose answer was lost may post again without harm",
        seen: &[
            both("a result posted again > report again", "400", "200"),
            both("an error posted again > report again", "400", "200"),
        ],
    },
    Difference {
        name: "task without task_data",
        why: "the original answers 500 to every poll that reaches it, for ever",
        seen: &[
            both(
                "a claim of a task without task_data > poll",
                "500",
                r#"200 {"return_time":"<ISO time>","tasks":[{"task_data":{},"task_id":"<task>","task_type":"<type>","task_version":1}]}"#,
            ),
            both("a claim of a task without task_data > report", "400", "200"),
            both(
                "a claim of a task without task_data > get the result",
                r#"200 {"task_id":"<task>","task_type":"<type>","task_version":1,"test_id":"<test>"}"#,
                r#"200 {"task_completed":"<time>","task_id":"<task>","task_result":{"status":200},"task_type":"<type>","task_version":1,"test_id":"<test>"}"#,
            ),
        ],
    },
    Difference {
        name: "tasks_waiting",
        why: "the original compares a column with `is None`, which is never true",
        seen: &[both(
            "the fleet > status of two tasks",
            r#"200 {"agents":1,"tasks_waiting":0}"#,
            r#"200 {"agents":1,"tasks_waiting":2}"#,
        )],
    },
    Difference {
        name: "capability without version",
        why: "the original fails on the missing key",
        seen: &[
            both(r#"capabilities {"<type>": {}} > poll"#, "500", "400"),
            both(r#"capabilities {"<type>": {"Version": 1}} > poll"#, "500", "400"),
        ],
    },
    Difference {
        name: "capability without a name",
        why: "the pattern of the original's schema needs a character, so it does not check these",
        seen: &[
            both(r#"capabilities {"<type>": {"version": 1}, "": 1} > poll"#, "500", "400"),
            both(r#"capabilities {"<type>": {"version": 1}, "": {"version": "7"}} > poll"#, CLAIM, "400"),
            both(r#"capabilities {"<type>": {"version": 1}, "\n": {"version": 1.5}} > poll"#, CLAIM, "400"),
        ],
    },
    Difference {
        name: "changed capabilities",
        why: "the original removes from a list while it walks it, and keeps every other",
        seen: &[both(
            "an agent that can do nothing any more > poll without capabilities",
            "200 with 1",
            "200 with 0",
        )],
    },
    Difference {
        name: "renamed agent",
        why: "the original keeps the name of an agent's first poll",
        seen: &[both(
            "the fleet > dashboard of a renamed agent",
            r#"200 {"agents":[{"agent_id":"<agent>","agent_name":"Agent 007","last_seen":"<time>","tasks":[]}],"tasks":[]}"#,
            r#"200 {"agents":[{"agent_id":"<agent>","agent_name":"M","last_seen":"<time>","tasks":[],"tasks_truncated":false}],"agents_total":1,"limit":100,"tasks":[],"tasks_total":0}"#,
        )],
    },
    Difference {
        name: "negative max_tasks",
        why: "the protocol knows no such number",
        seen: &[
            both("a poll with max_tasks -1 > poll", NO_TASKS, "400"),
            both("a poll with max_tasks -2147483649 > poll", NO_TASKS, "400"),
            both("a poll with max_tasks -9223372036854775808 > poll", NO_TASKS, "400"),
            both("a poll with max_tasks -9223372036854775809 > poll", NO_TASKS, "400"),
            both("max_tasks -1 and two tasks > poll for -1", NO_TASKS, "400"),
        ],
    },
    Difference {
        name: "large max_tasks",
        why: "the original fails beyond what its database or Python can hold; no agent can hold that many tasks",
        seen: &[
            both("a poll with max_tasks 9223372036854775808 > poll", "500", NO_TASKS),
            both("a poll with max_tasks 123456789012345678901234567890 > poll", "500", NO_TASKS),
            both("a poll with max_tasks 18446744073709551616 > poll", "500", NO_TASKS),
            both("a poll with max_tasks of 5,000 digits > poll", "400", NO_TASKS),
        ],
    },
    Difference {
        name: "many tasks a poll",
        why: "an answer must fit into memory; the next poll brings the rest",
        seen: &[
            both("a poll for 1,001 tasks > poll", "200 with 1001", "200 with 1000"),
            both("a poll for 1,001 tasks > poll again", "200 with 0", "200 with 1"),
        ],
    },
    Difference {
        name: "id in upper case",
        why: "the original compares letters, and asks only for those in lower case",
        seen: &[
            both(r#"a task with task_id "<TASK>" > get"#, "404", PENDING),
            both(
                r#"a task with test_id "<TASK>" > get"#,
                r#"200 {"task_data":{"time":5},"task_id":"<task>","task_type":"<type>","task_version":1,"test_id":"<TASK>"}"#,
                r#"200 {"task_data":{"time":5},"task_id":"<task>","task_type":"<type>","task_version":1,"test_id":"<task>"}"#,
            ),
            both(r#"a result with task_id "<TASK>" > report"#, "400", "200"),
            both(r#"a result with task_id "<TASK>" > get"#, PENDING, DONE),
        ],
    },
    Difference {
        name: "newline after an id",
        why: "Python's `$` matches before a last newline",
        seen: &[
            postgresql(r#"a task with task_id "<task>\n" > post"#, "500", "400"),
            sqlite(r#"a task with task_id "<task>\n" > post"#, "200", "400"),
            postgresql(r#"a task with test_id "<task>\n" > post"#, "500", "400"),
            sqlite(r#"a task with test_id "<task>\n" > post"#, "200", "400"),
            both("an id with a newline in the path > get", PENDING, "404"),
            postgresql(r#"a poll with agent_id "<task>\n" > poll"#, "500", "400"),
            sqlite(r#"a poll with agent_id "<task>\n" > poll"#, NO_TASKS, "400"),
            sqlite(
                r#"a task with test_id "<task>\n" > get"#,
                r#"200 {"task_data":{"time":5},"task_id":"<task>","task_type":"<type>","task_version":1,"test_id":"<task>\n"}"#,
                "404",
            ),
        ],
    },
    Difference {
        name: "U+0000",
        why: "PostgreSQL cannot hold it; errors are kept as JSON text, which can",
        seen: &[
            postgresql(r#"a task with task_type "\u0000" > post"#, "500", "400"),
            sqlite(r#"a task with task_type "\u0000" > post"#, "200", "400"),
            postgresql(r#"a poll with agent_name "\u0000" > poll"#, "500", "400"),
            sqlite(r#"a poll with agent_name "\u0000" > poll"#, NO_TASKS, "400"),
            both(
                r#"a poll with agent_location {"country": "\u0000\u0000", "region": "18"} > poll"#,
                NO_TASKS,
                "400",
            ),
            postgresql(
                r#"capabilities {"<type>": {"version": 1}, "\u0000": {"version": 7}} > poll"#,
                "500",
                "400",
            ),
            sqlite(
                r#"capabilities {"<type>": {"version": 1}, "\u0000": {"version": 7}} > poll"#,
                CLAIM,
                "400",
            ),
            postgresql(r#"a result with task_error "\u0000" > report"#, "500", "200"),
            postgresql(
                r#"a result with task_error "\u0000" > get"#,
                PENDING,
                r#"200 {"task_data":{"time":5},"task_error":"\u0000","task_failed":"<time>","task_id":"<task>","task_type":"<type>","task_version":1,"test_id":"<test>"}"#,
            ),
            sqlite(
                r#"a task with task_type "\u0000" > get"#,
                r#"200 {"task_data":{"time":5},"task_id":"<task>","task_type":"\u0000","task_version":1,"test_id":"<test>"}"#,
                "404",
            ),
        ],
    },
    Difference {
        name: "half a surrogate pair",
        why: "it is no Unicode text and no database takes it; errors are kept as JSON text, which can",
        seen: &[
            both(r#"a task with task_type "\ud800" > post"#, "500", "400"),
            both(r#"a poll with agent_name "\ud800" > poll"#, "500", "400"),
            both(
                r#"a poll with agent_location {"country": "FI", "region": "\ud800\ud800"} > poll"#,
                NO_TASKS,
                "400",
            ),
            both(r#"capabilities {"<type>": {"version": 1}, "\ud800": {"version": 1}} > poll"#, "500", "400"),
            both(r#"a result with task_error "\ud800" > report"#, "500", "200"),
            both(
                r#"a result with task_error "\ud800" > get"#,
                PENDING,
                r#"200 {"task_data":{"time":5},"task_error":"\ud800","task_failed":"<time>","task_id":"<task>","task_type":"<type>","task_version":1,"test_id":"<test>"}"#,
            ),
        ],
    },
    Difference {
        name: "version beyond 64 bits",
        why: "no database holds it",
        seen: &[
            both("a task with task_version 9223372036854775808 > post", "500", "400"),
            both("a task with task_version -9223372036854775809 > post", "500", "400"),
            both("a task with task_version 123456789012345678901234567890 > post", "500", "400"),
            both("a capability with version 9223372036854775808 > poll", "500", "400"),
            both("a capability with version -9223372036854775809 > poll", "500", "400"),
            both("a capability with version 123456789012345678901234567890 > poll", "500", "400"),
        ],
    },
    Difference {
        name: "version beyond 32 bits",
        why: "the protocol allows 64 bits; the original's column on PostgreSQL has 32",
        seen: &[
            postgresql("a task with task_version 2147483648 > post", "500", "200"),
            postgresql(
                "a task with task_version 2147483648 > get",
                "404",
                r#"200 {"task_data":{"time":5},"task_id":"<task>","task_type":"<type>","task_version":2147483648,"test_id":"<test>"}"#,
            ),
            postgresql("a task with task_version -2147483649 > post", "500", "200"),
            postgresql(
                "a task with task_version -2147483649 > get",
                "404",
                r#"200 {"task_data":{"time":5},"task_id":"<task>","task_type":"<type>","task_version":-2147483649,"test_id":"<test>"}"#,
            ),
            postgresql("a task with task_version 9223372036854775807 > post", "500", "200"),
            postgresql(
                "a task with task_version 9223372036854775807 > get",
                "404",
                r#"200 {"task_data":{"time":5},"task_id":"<task>","task_type":"<type>","task_version":9223372036854775807,"test_id":"<test>"}"#,
            ),
            postgresql("a task with task_version -9223372036854775808 > post", "500", "200"),
            postgresql(
                "a task with task_version -9223372036854775808 > get",
                "404",
                r#"200 {"task_data":{"time":5},"task_id":"<task>","task_type":"<type>","task_version":-9223372036854775808,"test_id":"<test>"}"#,
            ),
            postgresql("a capability with version 2147483648 > poll", "500", NO_TASKS),
            postgresql("a capability with version -2147483649 > poll", "500", NO_TASKS),
            postgresql("a capability with version 9223372036854775807 > poll", "500", NO_TASKS),
            postgresql("a capability with version -9223372036854775808 > poll", "500", NO_TASKS),
        ],
    },
    Difference {
        name: "NaN and Infinity",
        why: "they are not JSON: the clients in Java could not read the answer",
        seen: &[
            both(r#"task data {"n": NaN} > post"#, "200", "400"),
            both(r#"task data {"n": NaN} > get"#, "200 no JSON", "404"),
            both(r#"task data {"n": Infinity} > post"#, "200", "400"),
            both(r#"task data {"n": Infinity} > get"#, "200 no JSON", "404"),
            both(
                r#"a poll with agent_location {"country": "FI", "region": "18", "longitude": NaN} > poll"#,
                NO_TASKS,
                "400",
            ),
            both(r#"result data {"n": NaN} > report"#, "200", "400"),
            both(r#"result data {"n": NaN} > get"#, "200 no JSON", PENDING),
        ],
    },
    Difference {
        name: "number beyond a double",
        why: "Python makes Infinity of it, which is not JSON; in data it stays as it was written",
        seen: &[
            both(
                r#"task data {"n": 1e400} > get"#,
                "200 no JSON",
                r#"200 {"task_data":{"n":1e400},"task_id":"<task>","task_type":"<type>","task_version":1,"test_id":"<test>"}"#,
            ),
            both(
                r#"a poll with agent_location {"country": "FI", "region": "18", "longitude": 1e400} > poll"#,
                NO_TASKS,
                "400",
            ),
            both(
                r#"result data {"n": 1e400} > get"#,
                "200 no JSON",
                r#"200 {"task_completed":"<time>","task_data":{"time":5},"task_id":"<task>","task_result":{"n":1e400},"task_type":"<type>","task_version":1,"test_id":"<test>"}"#,
            ),
        ],
    },
    Difference {
        name: "integer of many digits",
        why: "data is not ours to read; Python refuses more than 4,300 digits",
        seen: &[
            both("task data with 5,000 digits > post", "400", "200"),
            both("task data with 5,000 digits > get", "404", "200"),
        ],
    },
    Difference {
        name: "deep nesting",
        why: "the recursive parsers of the clients give up near 1,000 levels",
        seen: &[
            both("task data 600 levels deep > post", "200", "400"),
            both("task data 600 levels deep > get", "200", "404"),
            both("result data 600 levels deep > report", "200", "400"),
        ],
    },
    Difference {
        name: "endless nesting",
        why: "the recursion of the original ends in a 500",
        seen: &[
            both("/task, 100,000 brackets > post", "500", "400"),
            both("/tasks, 100,000 brackets > post", "500", "400"),
            both("/tasks/response, 100,000 brackets > post", "500", "400"),
            both("task data 5000 levels deep > post", "500", "400"),
        ],
    },
    Difference {
        name: "charset",
        why: "a body that says it is Latin-1, and is, can be read",
        seen: &[
            both("ISO 8859-1 that says so > post", "400", "200"),
            both(
                "ISO 8859-1 that says so > get",
                "404",
                r#"200 {"task_data":{"time":"ä"},"task_id":"<task>","task_type":"<type>","task_version":1,"test_id":"<test>"}"#,
            ),
        ],
    },
    Difference {
        name: "long names, many capabilities",
        why: "what is stored already stays as it is",
        seen: &[both("a task with a task_type of 1,025 bytes > post", "200", "400")],
    },
    Difference {
        name: "UTF-16",
        why: "RFC 8259 has JSON in UTF-8; another encoding must be named",
        seen: &[both("UTF-16 > post", "200", "400")],
    },
    Difference {
        name: "large body",
        why: "MAX_CONTENT_LENGTH, 1 MiB unless it is set, bounds what a request takes of memory",
        seen: &[
            both("a body of more than 1 MiB > post", "200", "413"),
            both("a body of more than 1 MiB > get", PENDING, "404"),
        ],
    },
    Difference {
        name: "OPTIONS",
        why: "no client asks, and browsers of other sites have no business here",
        seen: &[
            both("OPTIONS /task > ask", "200", "405"),
            both("OPTIONS /task/ > ask", "200", "405"),
            both("OPTIONS /tasks > ask", "200", "405"),
            both("OPTIONS /tasks/ > ask", "200", "405"),
            both("OPTIONS /tasks/response > ask", "200", "405"),
            both("OPTIONS /dashboard > ask", "200", "405"),
            both("OPTIONS /dashboard/ > ask", "200", "405"),
            both("OPTIONS /status/ > ask", "200", "405"),
            both("OPTIONS /status > ask", "200", "405"),
            both("OPTIONS /dashboard/status > ask", "200", "405"),
            both("OPTIONS of a task > ask", "200", "405"),
        ],
    },
    Difference {
        name: "`DELETE /task/{task_id}`",
        why: "cancels the task",
        seen: &[
            both("DELETE of a task > ask", "405", CANCELLED),
            both("DELETE of a task > get", PENDING, CANCELLED),
        ],
    },
    Difference {
        name: "folder of static files",
        why: "there is none",
        seen: &[
            both("POST /static/page.js > ask", "405", "404"),
            both("PUT /static/page.js > ask", "405", "404"),
            both("DELETE /static/page.js > ask", "405", "404"),
            both("OPTIONS /static/page.js > ask", "200", "404"),
        ],
    },
    Difference {
        name: "new paths",
        why: "the pages are self-contained, and supervisors, Prometheus and programs of operators can ask",
        seen: &[
            both("GET /dashboard/dashboard.js > ask", "404", "200"),
            both("GET /dashboard/dashboard.css > ask", "404", "200"),
            both("GET /healthz > ask", "404", "200"),
            both("GET /readyz > ask", "404", "200"),
            both("GET /metrics > ask", "404", "200"),
        ],
    },
    Difference {
        name: "the root",
        why: "a browser is led to the dashboard by a relative address",
        seen: &[both("GET / > ask", "404", "303"), both("GET // > ask", "404", "303")],
    },
    Difference {
        name: "bounds of the dashboard",
        why: "its lists hold the newest 100, and it says so",
        seen: &[
            both(
                "the fleet > dashboard of nothing",
                r#"200 {"agents":[],"tasks":[]}"#,
                r#"200 {"agents":[],"agents_total":0,"limit":100,"tasks":[],"tasks_total":0}"#,
            ),
            both(
                "the fleet > dashboard of an agent",
                r#"200 {"agents":[{"agent_id":"<agent>","agent_name":"Agent 007","last_seen":"<time>","tasks":[]}],"tasks":[]}"#,
                r#"200 {"agents":[{"agent_id":"<agent>","agent_name":"Agent 007","last_seen":"<time>","tasks":[],"tasks_truncated":false}],"agents_total":1,"limit":100,"tasks":[],"tasks_total":0}"#,
            ),
        ],
    },
];
