//! The cases that every store must pass, by what they are about, and the stores.

mod adoption;
mod agent_figures;
mod agent_lists;
mod agents;
mod backlog;
mod cancels;
mod census;
mod claim_budgets;
mod claims;
mod deadlines;
mod fleet;
mod line;
mod listing;
mod model;
mod overview;
mod pauses;
mod releases;
mod reopening;
mod reports;
mod retries;
mod running;
mod sizes;
mod statistics;
mod submits;
mod tables;
mod tests_listed;
mod tokens;
mod traces;
mod transactions;

/// Makes a test of each case, on a database of its own.
macro_rules! tests {
    ($fixture:ty: $($noun:ident { $($case:ident)* })*) => { $($(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            let fixture = <$fixture as crate::fixture::Fixture>::empty();
            super::$noun::$case(&fixture).await;
        }
    )*)* };
}

/// What every store does.
macro_rules! cases_of_every_store {
    ($fixture:ty) => {
        tests! { $fixture:
            tables {
                tables_are_made_once
                nothing_works_without_tables
                dropped_tables_can_be_made_again
            }
            submits {
                task_data_is_kept_to_the_letter
                a_megabyte_of_task_data_is_kept
                no_task_data_stays_none
                any_type_and_version_can_be_stored_and_claimed
                ids_are_the_same_in_any_case
                a_repeated_task_changes_nothing
                a_task_repeated_after_its_end_changes_nothing
                another_task_with_the_same_id_is_refused
                the_same_task_twice_in_a_batch
                two_tasks_with_one_id_in_a_batch
                the_id_of_an_attempt_is_no_tasks
                a_batch_of_thousands
                a_batch_of_nothing
                unknown_tasks_are_not_found
                the_poster_of_a_task_is_kept_and_compared
            }
            sizes {
                of_a_large_task_its_size_is_read_first
                kinds_that_are_too_much_are_told_in_parts
                sentences_quote_the_beginning_of_long_names
            }
            claims {
                a_claimed_task_is_handed_out_no_more
                claims_are_oldest_first
                claims_are_oldest_first_within_a_batch
                claims_go_by_arrival_whatever_the_clock_says
                type_and_version_must_match
                types_differ_by_any_character
                max_tasks_is_kept
                max_tasks_has_an_upper_end
                a_poll_sees_what_is_submitted_in_its_batch
                polls_of_a_batch_share_no_task
                an_agent_that_polls_twice_in_a_batch_gets_different_tasks
                an_agent_with_a_thousand_capabilities
                racing_agents_get_each_task_once
            }
            backlog {
                the_kinds_of_waiting_tasks_are_told
                a_backlog_is_as_long_as_is_asked_for
                what_a_poll_leaves_is_told
                agents_that_have_something_to_be_told_are_named
            }
            claim_budgets {
                a_poll_is_given_eight_megabytes_at_most
                a_task_larger_than_that_is_given_alone
                types_count_in_what_a_poll_is_given
            }
            reports {
                a_result_completes_a_task
                an_error_fails_a_task
                results_and_errors_are_kept_to_the_letter
                a_megabyte_of_result_is_kept
                a_report_for_an_unknown_task_is_refused
                a_report_for_a_task_never_claimed_is_refused
                a_repeated_report_changes_nothing
                another_report_is_refused
                the_same_report_twice_in_a_batch
                two_reports_for_one_task_in_a_batch
                times_are_kept_to_the_microsecond
                racing_reports_end_a_task_once
            }
            releases {
                what_an_agent_was_told_and_never_heard_is_told_again
                a_released_task_waits_in_its_old_place
                only_the_claim_that_holds_is_released
                finished_and_unknown_tasks_are_not_released
                a_task_is_released_once
                a_release_is_seen_by_the_polls_of_its_batch
                a_claim_is_known_by_its_time_as_it_was_passed
                a_report_after_a_release_needs_a_new_claim
            }
            line {
                terms_are_kept_as_they_were_posted
                priority_comes_first_then_age
                only_a_matching_agent_may_have_a_filtered_task
                a_waiting_task_says_why
                a_waiting_task_counts_what_is_before_it
                a_delayed_task_says_until_when
                a_batch_says_what_others_may_wait_for
            }
            deadlines {
                a_task_without_a_timeout_has_the_default_of_the_store_that_hands_it_out
                a_waiting_task_expires_at_the_end_of_its_ttl
                an_expired_task_says_who_might_have_taken_it
                a_delayed_task_expires_at_the_end_of_its_ttl
                a_claimed_task_expires_at_the_end_of_its_ttl
                nothing_but_a_sweep_needs_to_notice_the_end_of_a_ttl
                what_waits_behind_an_expired_task_is_handed_out
                an_attempt_times_out_at_its_deadline
                the_sooner_of_ttl_and_timeout_is_the_deadline
                a_delayed_task_waits_from_the_end_of_its_delay_on
            }
            running {
                what_an_agent_does_not_name_is_lost
                what_is_lost_is_tried_again_also_by_the_agent_that_lost_it
                of_what_was_claimed_later_an_agent_need_not_know
                what_comes_before_in_its_batch_counts
                time_comes_before_what_an_agent_says
            }
            retries {
                what_people_see_of_attempts_is_bounded
                each_further_attempt_has_a_fresh_id
                only_the_attempt_that_runs_can_finish_the_task
                the_first_late_result_is_kept_on_its_attempt
                a_result_that_names_another_agent_is_refused
                an_error_is_tried_again_only_where_that_was_asked_for
                the_delay_between_attempts_doubles_to_an_hour
                a_released_attempt_does_not_count
                a_task_runs_through_every_kind_of_end_of_an_attempt
            }
            cancels {
                a_waiting_task_is_cancelled
                a_claimed_task_is_cancelled_and_its_agent_told_once
                a_cancelled_second_attempt_is_told_by_the_id_its_agent_knows
                a_cancel_sees_what_comes_before_it_in_its_batch
                a_cancel_may_be_repeated_and_a_finished_task_stays
            }
            fleet {
                an_agent_is_lost_when_its_silence_exceeds_the_threshold
                a_lost_attempt_is_repeated_while_attempts_remain
                polls_and_results_are_signs_of_life
                a_sign_of_life_counts_however_soon_it_comes_after_another
                a_forgotten_agent_leaves_its_tasks
                an_agent_that_was_renamed_has_one_name
                finished_tasks_are_deleted_with_their_attempts
                a_sweep_keeps_to_its_limit_and_says_when_there_is_more
                a_sweep_comes_in_the_order_of_its_batch
                an_agent_is_called_by_its_name_also_after_a_result_that_was_refused
            }
            agents {
                a_poll_registers_an_agent
                a_poll_replaces_the_name
                last_seen_never_goes_back
                agents_are_seen_without_a_poll
                agents_are_counted_from_the_threshold_on
                waiting_tasks_are_counted
            }
            overview {
                an_empty_store_has_an_empty_overview
                waiting_tasks_are_listed_newest_first
                agents_are_listed_last_seen_first
                tasks_of_an_agent_are_listed_newest_first
                large_results_are_left_out
                errors_are_listed_as_json
                what_is_long_is_cut
                the_results_of_an_agent_are_listed_up_to_a_bound
                any_limit_will_do
            }
            agent_lists {
                agents_are_listed_by_what_is_asked_for
                long_types_are_told_apart
                ids_at_both_ends_are_listed
                an_agent_is_shown_with_its_tasks
            }
            pauses {
                what_is_paused_is_kept_until_it_is_resumed
                a_waiting_task_says_that_it_is_paused
                a_task_that_expires_says_that_it_was_paused
                a_paused_agent_is_not_forgotten_for_its_silence
                a_batch_with_operations_replies_to_each
            }
            listing {
                lists_are_what_their_filters_say
                a_listed_task_says_what_became_of_it
                what_is_long_is_listed_in_part
                a_page_passes_over_a_bounded_number_of_tasks
                lists_go_by_arrival_whatever_the_clock_says
                errors_are_searched_as_they_read
                any_text_can_be_asked_for
                large_errors_are_searched_in_parts
                pages_fit_together_while_tasks_come_and_go
                what_arrived_behind_a_place_can_be_left_out
                times_are_found_whatever_runs
                what_runs_is_listed_page_by_page
            }
            tests_listed {
                the_tasks_of_a_test_are_found_among_all_that_wait
                the_tasks_of_a_test_are_listed_at_any_place
            }
            transactions {
                outcomes_are_in_the_order_of_their_commands
                a_dropped_call_leaves_no_half_of_a_batch
                a_closed_store_is_unavailable
            }
            statistics {
                the_statistics_of_afms_are_added_up_by_the_minute
                kept_counts_are_the_sum_of_all_changes
                a_count_finds_what_waits_and_runs
                what_a_count_has_seen_is_not_added_again
                agents_are_counted_up_to_a_bound
            }
            agent_figures {
                outcomes_replace_what_the_same_afm_has_saved_of_a_period
                outcomes_of_old_periods_are_deleted_step_by_step
                agents_are_counted_by_place_step_by_step
            }
            census {
                all_agents_are_counted_in_steps
                one_afm_counts_at_a_time
                a_kept_census_is_given_until_it_is_replaced
                of_all_that_waits_the_first_of_each_kind_is_found
                one_agent_of_thousands_is_found_for_its_tasks
            }
            traces {
                the_first_span_of_a_poster_is_kept
                spans_of_posters_are_deleted_with_their_tasks
            }
            tokens {
                a_token_is_kept_as_it_was_made
                a_token_is_added_once
                names_and_types_may_be_any_text
                a_token_is_revoked_once
                a_token_is_bound_to_the_agent_that_comes_first
                agents_that_race_for_a_token_are_told_the_same
                the_latest_use_of_a_token_is_kept
                thousands_of_tokens_are_read_in_pages
            }
            model {
                any_sequence_of_batches_goes_as_in_the_model
            }
        }
    };
}

/// What stores do on a database that others can open too.
macro_rules! cases_of_shared_databases {
    ($fixture:ty) => {
        tests! { $fixture:
            tables {
                older_tables_are_behind
                newer_tables_are_ahead
                only_our_tables_are_dropped
                tables_made_at_the_same_time_are_made_once
            }
            adoption {
                what_hands_wrote_is_adopted_as_well_as_can_be
                agents_with_one_id_become_one
                tables_of_others_are_spared
                what_is_no_original_is_left_alone
                an_id_that_is_none_is_named_and_nothing_changes
            }
            claims {
                agents_racing_on_two_stores_get_each_task_once
            }
            reports {
                reports_racing_on_two_stores_end_a_task_once
            }
            agents {
                a_poll_replaces_capabilities_and_location
            }
            fleet {
                an_agent_that_is_not_known_was_last_seen_when_it_claimed
                the_name_of_a_forgotten_agent_is_kept_as_long_as_anything_was_its
                sweeps_racing_on_two_stores_end_each_task_once
            }
            agent_lists {
                a_page_passes_over_so_many_agents_at_most
                a_page_of_types_counts_so_many_agents_at_most
            }
            pauses {
                there_are_so_many_pauses_at_most
                an_agent_is_forgotten_unless_it_executes
                pauses_survive_a_restart
            }
            transactions {
                a_batch_that_fails_in_the_middle_changes_nothing
                a_locked_database_is_unavailable_until_it_is_not
                two_stores_see_the_same
            }
            statistics {
                counts_are_right_however_often_tasks_are_counted
                statistics_outlive_their_store
            }
            tokens {
                no_change_of_tokens_is_missed_while_two_stores_make_them
                agents_that_race_for_a_token_on_two_stores_are_told_the_same
                tokens_survive_a_restart
            }
            reopening {
                everything_is_there_after_reopening
                the_order_of_arrival_is_there_after_reopening
            }
        }
    };
}

mod sqlite_memory {
    cases_of_every_store!(crate::fixture::SqliteMemory);
}

mod sqlite_file {
    cases_of_every_store!(crate::fixture::SqliteFile);
    cases_of_shared_databases!(crate::fixture::SqliteFile);
}

/// Without others it sends less, and together.
mod lone_postgres {
    cases_of_every_store!(crate::fixture::LonePostgres);
}

mod postgres {
    cases_of_every_store!(crate::fixture::Postgres);
    cases_of_shared_databases!(crate::fixture::Postgres);
}
