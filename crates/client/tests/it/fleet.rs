//! Agents, types and tests.

use slamon_client::{ClientError, NewTask, Paused};
use uuid::Uuid;

use crate::afm::{poll, start};

#[tokio::test(flavor = "multi_thread")]
async fn agents_types_and_tests_are_read_paused_and_forgotten() {
    let (afm, client) = start();
    let (url, agent_id) = (afm.url(), Uuid::new_v4());
    let task = NewTask::new("add", 1);
    client.post_task(&task).await.unwrap();
    tokio::task::spawn_blocking(move || poll(&url, agent_id)).await.unwrap();

    let page = client.agents(&[("country", "FI".to_owned())], 10, None).await.unwrap();
    assert_eq!(page.agents.iter().map(|agent| agent.agent_id).collect::<Vec<_>>(), [agent_id]);
    assert_eq!(page.agents[0].tasks_running, 1);
    let types = client.types(10, None).await.unwrap();
    assert_eq!((types.types[0].task_type.as_str(), types.types[0].task_version), ("add", Some(1)));
    let test = client.test(task.test_id, 10, None).await.unwrap();
    assert_eq!(test.tasks[0].task_state, "claimed");
    assert!(client.overview().await.unwrap()["minutes"].is_array());

    client.pause(Paused::Agent(agent_id)).await.unwrap();
    assert_eq!(client.agents(&[], 10, None).await.unwrap().agents[0].state, "paused");
    client.resume(Paused::Agent(agent_id)).await.unwrap();
    assert!(client.pause(Paused::Type("add", Some(1))).await.unwrap()["paused_since"].is_string());
    client.resume(Paused::Type("add", Some(1))).await.unwrap();
    assert!(client.pause(Paused::Type("a/b c", None)).await.unwrap()["paused_since"].is_string());

    let unknown = client.pause(Paused::Agent(Uuid::new_v4())).await.unwrap_err();
    assert!(matches!(unknown, ClientError::NotFound(_)), "{unknown:?}");
    match client.agents(&[("state", "asleep".to_owned())], 10, None).await.unwrap_err() {
        ClientError::Refused { detail, .. } => assert!(detail.contains("state"), "{detail}"),
        problem => panic!("{problem:?}"),
    }
}
