# Who may publish to the topic, and who is told.

mock_provider "aws" {
  source          = "../../tests/mocks"
  override_during = plan
}

variables {
  name   = "alarms"
  emails = ["a@example.com", "b@example.com"]
}

run "topic" {
  command = plan

  assert {
    condition     = toset([for one in data.aws_iam_policy_document.topic.statement : one(one.principals[*]).identifiers]) == toset([toset(["cloudwatch.amazonaws.com"]), toset(["aps.amazonaws.com"])])
    error_message = "Alarms and alert managers publish."
  }
  assert {
    condition     = alltrue([for one in data.aws_iam_policy_document.topic.statement : one(one.condition).variable == "aws:SourceAccount" && one(one.condition).values == tolist(["111122223333"]) && one.resources == toset([aws_sns_topic.this.arn])])
    error_message = "Of this account alone."
  }
  assert {
    condition     = toset([for one in aws_sns_topic_subscription.email : "${one.protocol} ${one.endpoint}"]) == toset(["email a@example.com", "email b@example.com"])
    error_message = "Each address is told."
  }
}

run "refused" {
  command = plan
  variables { emails = ["nobody"] }
  expect_failures = [var.emails]
}
