//! Agents, types and tests.

use slamon_client::{AgentListFilter, ClientError, NewTask};
use uuid::Uuid;

use crate::afm::{poll, start_on_each_store};

#[tokio::test(flavor = "multi_thread")]
async fn agents_types_and_tests_are_read_paused_and_forgotten_on_each_store() {
    for (afm, client, _database) in start_on_each_store() {
        let (url, agent_id) = (afm.url(), Uuid::new_v4());
        let task = NewTask::new("add", 1);
        client.post_task(&task).await.unwrap();
        tokio::task::spawn_blocking(move || poll(&url, agent_id)).await.unwrap();

        let in_finland = AgentListFilter { country: Some("FI".to_owned()), ..AgentListFilter::default() };
        let page = client.agents(&in_finland, 10, None).await.unwrap();
        assert_eq!(page.agents.iter().map(|agent| agent.agent_id).collect::<Vec<_>>(), [agent_id]);
        assert_eq!(page.agents[0].tasks_running, 1);
        let types = client.types(10, None).await.unwrap();
        assert_eq!((types.types[0].task_type.as_str(), types.types[0].task_version), ("add", Some(1)));
        let test = client.test(task.test_id, 10, None).await.unwrap();
        assert_eq!(test.tasks[0].task_state, "claimed");
        assert_eq!(client.overview().await.unwrap().minutes.len(), 60);
        assert_eq!(client.status().await.unwrap().agents, 1);
        let agent = client.agent(agent_id).await.unwrap();
        assert_eq!((agent.tasks[0].task_id, agent.more_tasks), (task.task_id, false));
        assert_eq!(agent.agent.agent_capabilities.unwrap()["add"].version, 1);
        assert_eq!(agent.agent.agent_location.unwrap().region, "18");
        let whole = client.whole_task(task.task_id).await.unwrap();
        assert_eq!((whole.attempts[0].agent_id, whole.attempts[0].outcome.as_str()), (agent_id, "running"));
        loop {
            // Agents are counted beside all else.
            if let Some(locations) = client.locations().await.unwrap().locations {
                assert_eq!((locations[0].country.as_str(), locations[0].agents.active), ("FI", 1));
                break;
            }
        }

        assert!(client.pause_agent(agent_id).await.unwrap().paused_since.is_some());
        assert_eq!(client.agent(agent_id).await.unwrap().agent.state, "paused");
        assert_eq!(client.resume_agent(agent_id).await.unwrap().paused_since, None);
        assert!(client.pause_type("add", Some(1)).await.unwrap().paused_since.is_some());
        assert!(client.task_type("add", 1).await.unwrap().paused_since.is_some());
        client.resume_type("add", Some(1)).await.unwrap();
        assert!(client.pause_type("a/b c", None).await.unwrap().paused_since.is_some());

        let unknown = client.pause_agent(Uuid::new_v4()).await.unwrap_err();
        assert!(matches!(unknown, ClientError::NotFound(_)), "{unknown:?}");
        let asleep = AgentListFilter { state: Some("asleep".to_owned()), ..AgentListFilter::default() };
        match client.agents(&asleep, 10, None).await.unwrap_err() {
            ClientError::Refused { detail, .. } => assert!(detail.contains("state"), "{detail}"),
            problem => panic!("{problem:?}"),
        }
    }
}
