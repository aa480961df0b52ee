"""Which tests stand for which threat. A test that is renamed or removed is missed here."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
THREATS: dict[str, tuple[str, ...]] = {
    # Effects that nobody chose
    "a model that obeys others, in any plan": (
        "trust/test_worst_case.py::test_what_the_owner_did_not_name_does_not_happen",
        "trust/test_worst_case.py::test_nor_in_strict_mode",
        "trust/test_mutants.py::test_a_rule_that_is_broken_in_one_place_is_noticed",
    ),
    "… under what the owner has allowed beforehand": (
        "trust/test_standing.py::test_a_rule_of_the_owner_s_allows_what_it_pins_and_nothing_else",
        "trust/test_standing.py::test_never_is_never_also_when_the_person_would_agree",
        "trust/test_standing.py::test_a_known_contact_makes_no_words_of_others_clean",
    ),
    "… in a run that goes on from another": (
        "trust/test_standing.py::test_a_run_that_goes_on_where_one_was_stopped_knows_what_its_plan_had_read",
    ),
    "… after a crash": (
        "trust/test_worst_case.py::test_nor_after_a_kill",
        "journeys/test_crash.py",
    ),
    "… in pipelines, chains, schedules, events": (
        "trust/test_worst_case.py::test_nor_in_plans_that_the_owner_wrote",
        "trust/test_worst_case.py::test_nor_in_requests_that_a_schedule_makes",
        "trust/test_worst_case.py::test_nor_when_a_pipeline_goes_on_from_a_step",
    ),
    "conditions and lists made of others' words": (
        "trust/test_doors.py::test_a_condition_on_words_of_others_decides_at_most_whether",
        "trust/test_doors.py::test_it_decides_nothing_while_nobody_watches",
        "trust/test_doors.py::test_a_list_of_others_does_not_say_how_often_something_is_done",
    ),
    "instructions that others put into a plan which is kept": (
        "trust/test_doors.py::test_what_others_put_into_a_plan_is_not_the_owner_s_once_it_is_saved",
    ),
    "private data that leaves in an address": (
        "trust/test_worst_case.py::test_what_the_owner_did_not_name_does_not_happen",
        "agent/policy/test_gate.py::test_what_a_planner_that_knows_private_things_sends_has_to_be_typed",
    ),
    "a plugin that says too little of itself": (
        "trust/test_lying_plugins.py::test_a_tool_that_asks_for_the_network_can_t_call_itself_harmless",
        "trust/test_lying_plugins.py::test_a_tool_with_the_network_or_in_this_process_that_says_nothing_is_taken_for_the_worst",
        "agent/policy/test_gate.py::test_a_program_that_may_reach_hosts_asks_for_what_it_could_tell",
    ),
    "a page that says “stop asking”": (
        "trust/test_other_threats.py::test_a_page_that_says_stop_asking_changes_no_rule",
    ),
    "being asked until one says yes": (
        "trust/test_worst_case.py::test_whoever_is_asked_again_and_again_says_no_twice_and_that_is_all",
        "journeys/test_for_this_task.py::test_two_denials_stop_the_plan",
    ),
    # Words that pose as the owner's
    "forwarded, quoted and replied-to text": (
        "trust/test_doors.py::test_quoted_and_forwarded_words_are_no_words_of_a_request",
        "trust/test_doors.py::test_a_message_of_quoted_words_alone_is_no_request",
        "trust/test_doors.py::test_a_reply_to_an_answer_made_of_others_words_hands_on_its_label",
        "agent/channels/test_telegram_receive.py::test_a_forwarded_text_is_quoted_and_not_trusted",
        "agent/channels/test_telegram_receive.py::test_words_through_another_bot_are_not_the_owners",
    ),
    "a forwarded voice message": (
        "journeys/test_telegram_ways_in.py::test_a_forwarded_voice_message_is_material_and_never_obeyed",
    ),
    "words in a picture": (
        "journeys/test_pictures.py::test_what_is_planned_after_a_look_asks_before_it_has_an_effect",
        "journeys/test_pictures.py::test_a_forwarded_photo_is_never_before_the_planner_and_only_a_step_looks_at_it",
    ),
    "words in a file's name": (
        "trust/test_doors.py::test_the_name_of_a_file_of_others_is_no_instruction",
        "trust/test_doors.py::test_a_name_that_a_program_made_up_is_no_instruction",
    ),
    "words of others in the memory": (
        "trust/test_doors.py::test_what_others_said_is_not_looked_up_in_the_memory",
        "agent/memory/test_memory.py::test_untrusted_entries_never_enter_a_planners_context",
        "agent/memory/test_memory.py::test_tools_are_handed_only_what_is_the_persons_own",
    ),
    "members of a group": (
        "trust/test_doors.py::test_a_member_s_request_has_no_effect_by_itself",
        "trust/test_doors.py::test_a_member_s_answer_supplies_no_argument",
        "trust/test_doors.py::test_a_member_s_wish_about_a_plan_is_not_the_owner_s",
    ),
    "a user name that a stranger takes over": (
        "trust/test_other_threats.py::test_whoever_takes_the_owner_s_name_is_a_stranger",
    ),
    "a message that is edited after the yes": (
        "trust/test_other_threats.py::test_a_message_that_is_edited_after_the_yes_changes_nothing_that_was_agreed",
        "agent/channels/test_telegram_receive.py::test_an_edit_after_hearing_changes_nothing",
    ),
    # Consent that is forged
    "buttons that are forged, foreign, late or pressed again": (
        "trust/test_yes.py::test_no_press_but_the_owner_s_own_in_the_chat_of_the_question_allows",
        "trust/test_yes.py::test_one_yes_is_one_execution_however_often_it_is_pressed",
        "trust/test_yes.py::test_an_expired_yes_is_none",
        "journeys/test_several_calls.py::test_a_forged_button_changes_nothing",
        "agent/channels/test_telegram_receive.py::test_a_strangers_press_changes_nothing_and_is_told_so",
    ),
    "a yes that is used for something else": (
        "trust/test_yes.py::test_a_yes_names_the_tool_and_every_argument",
        "trust/test_yes.py::test_what_was_agreed_to_beforehand_is_done_and_nothing_else",
        "trust/test_yes.py::test_what_was_agreed_to_long_ago_is_asked_about",
        "trust/test_doors.py::test_a_file_is_shared_as_it_was_when_the_person_agreed",
    ),
    "arguments that imitate the question, or look like others": (
        "trust/test_shown.py::test_an_address_that_looks_alike_is_told_apart",
        "agent/channels/test_several_calls_view.py::test_no_argument_can_pose_as_a_line_of_ours",
        "agent/channels/test_several_calls_view.py::test_in_a_terminal_an_argument_stays_below_its_name",
        "agent/channels/test_several_calls_view.py::test_links_of_others_are_dead",
    ),
    # Ways in
    "chats that nobody has let in, and codes that let in": (
        "agent/channels/test_telegram_receive.py::test_a_stranger_gets_one_line_with_their_id_and_is_never_heard",
        "agent/channels/test_telegram_receive.py::test_with_no_owners_nobody_is_heard",
        "agent/channels/test_telegram_pairing.py::test_a_code_works_once_and_a_wrong_one_is_told_so",
        "agent/channels/test_telegram_pairing.py::test_guessing_ends_after_five_tries",
        "agent/channels/test_telegram_pairing.py::test_codes_have_eight_plain_characters_and_are_stored_as_a_hash",
    ),
    "webhooks that are forged or replayed": (
        "journeys/test_webhooks.py::test_forged_stale_and_early_calls_are_refused",
        "journeys/test_webhooks.py::test_a_replayed_call_runs_nothing_again",
        "agent/automation/test_webhook_calls.py::test_a_new_secret_makes_the_earlier_one_worthless_and_only_the_owner_may_read_it",
        "agent/cli/test_cli_serve_webhook.py::test_telegrams_calls_reach_the_bot_and_forged_ones_do_not",
    ),
    "bodies that are read before their secret is checked": (
        "journeys/test_webhooks.py::test_what_is_forged_is_not_read",
        "journeys/test_webhooks.py::test_an_oversized_call_is_refused_before_its_signature_is_checked",
        "agent/web/test_web_door.py::test_a_body_that_does_not_say_its_size_is_counted",
    ),
    "the owner's pages": (
        "agent/web/test_pages.py::test_nobody_sees_or_changes_anything_without_being_logged_in",
        "agent/web/test_pages.py::test_a_form_from_another_site_changes_nothing",
        "agent/web/test_pages.py::test_a_form_without_its_token_changes_nothing",
        "agent/web/test_pages.py::test_pages_let_nothing_foreign_in",
        "agent/web/test_pages.py::test_pages_that_others_reach_need_a_password",
        "agent/web/test_pages.py::test_wrong_passwords_are_slowed_down",
        "agent/web/test_web_door.py::test_another_name_for_this_machine_is_refused",
    ),
    # Ways out
    "inner addresses, and names that change": (
        "plugins/test_web_guard.py::test_nothing_on_this_machine_is_reached",
        "plugins/test_web_guard.py::test_a_name_is_resolved_once_and_the_checked_address_is_connected_to",
        "plugins/test_web_guard.py::test_a_public_name_with_one_inner_address_is_refused_as_a_whole",
        "plugins/test_web_guard.py::test_each_redirect_is_checked_anew",
        "sandbox/test_egress.py::test_an_inner_address_is_refused_unless_the_owner_names_the_host",
    ),
    "paths and links that lead out": (
        "sandbox/test_workspace.py::test_a_path_that_leads_out_or_deceives_is_refused",
        "sandbox/test_workspace.py::test_links_are_not_followed",
        "sandbox/test_workspace.py::test_a_folder_swapped_for_a_link_again_and_again_never_leads_out",
        "agent/channels/test_telegram_receive.py::test_file_names_stay_in_their_folder",
        "agent/test_archive.py::test_links_and_pipes_are_passed_over_and_said",
        "plugins/test_documents.py::test_nothing_outside_the_workspace_is_read_or_written",
    ),
    "tokens and keys in logs, errors, prompts, the journal or the sandbox": (
        "agent/test_logs.py::test_a_configured_secret_never_reaches_the_file",
        "agent/channels/test_telegram_receive.py::test_the_token_is_in_no_log_line",
        "agent/config/test_config.py::test_a_wrong_secret_is_never_shown",
        "journeys/test_labels_of_what_was_read.py::test_a_secret_that_a_tool_repeats_is_hidden_wherever_its_result_goes",
        "journeys/test_plugin_walls.py::test_a_hostile_tool_finds_no_secret_no_setting_and_no_other_session",
        "agent/web/test_pages.py::test_no_secret_is_on_any_page",
        "sandbox/test_box_walls.py::test_one_job_cannot_read_anothers_secrets",
    ),
    "one person's data to another": (
        "trust/test_other_threats.py::test_nothing_of_one_chat_reaches_another",
        "journeys/test_plugin_walls.py::test_a_hostile_tool_finds_no_secret_no_setting_and_no_other_session",
    ),
    # Exhaustion
    "templates that reach or cost too much": (
        "agent/execution/test_templates.py::test_nothing_inside_can_be_reached",
        "agent/execution/test_templates.py::test_a_bomb_is_an_error_at_once",
        "journeys/test_pipelines.py::test_a_template_that_does_too_much_ends_in_a_sentence",
    ),
    "what unpacks to too much": (
        "plugins/test_web_guard.py::test_a_decompression_bomb_ends_at_the_limit",
        "plugins/test_documents.py::test_an_archive_that_unpacks_to_too_much_is_refused",
    ),
    "prompts that cost too much": (
        "agent/policy/test_budget.py::test_a_call_that_could_pass_a_cap_is_refused_with_everything_named",
        "agent/policy/test_budget.py::test_every_cap_of_the_settings_holds_over_runs",
    ),
    # What is installed
    "plugins that nobody has enabled": (
        "plugins/test_loader.py::test_an_installed_plugin_is_imported_only_when_enabled",
        "plugins/test_loader.py::test_the_hash_changes_with_any_file_of_the_plugin",
        "agent/cli/test_cli.py::test_a_plugin_is_shown_with_its_hash_and_all_that_it_may_do",
    ),
    "objects that are code": ("trust/test_other_threats.py::test_nothing_is_unpickled",),
    "packages that are swapped": (
        "trust/test_other_threats.py::test_every_dependency_is_pinned_to_hashes",
        "agent/test_project.py::test_the_lock_covers_the_project_and_names_no_registry",
    ),
}


@cache
def named_in(file: str) -> frozenset[str]:
    """Return the names of the tests in a file below `tests/`, none when there is no such file."""
    place = ROOT / "tests" / file
    body = ast.parse(place.read_text(encoding="utf-8")).body if place.exists() else []
    found = (node.name for node in body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)))
    return frozenset(name for name in found if name.startswith("test_"))


@pytest.mark.parametrize("threat", THREATS)
def test_a_threat_has_its_tests(threat: str):
    for name in THREATS[threat]:
        file, _, test = name.partition("::")
        assert named_in(file), f"{file} has no tests"
        assert not test or test in named_in(file), f"{name} is gone"
