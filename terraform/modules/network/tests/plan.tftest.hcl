# Subnets, and the way out of them.

mock_provider "aws" {
  source          = "../../tests/mocks"
  override_during = plan
}

variables {
  name = "sluicegate"
}

run "single_nat" {
  command = plan

  assert {
    condition     = length(distinct(aws_subnet.public[*].availability_zone)) == 2 && length(distinct(aws_subnet.private[*].availability_zone)) == 2
    error_message = "Two zones for the load balancer and for the tasks."
  }
  assert {
    condition     = length(distinct(concat(aws_subnet.public[*].cidr_block, aws_subnet.private[*].cidr_block))) == 4
    error_message = "Ranges of their own."
  }
  assert {
    condition     = length(aws_nat_gateway.this) == 1 && length(aws_route.nat) == 2 && !output.tasks_need_public_ip
    error_message = "One NAT gateway for both."
  }
  assert {
    condition     = alltrue([for one in aws_subnet.public : one.map_public_ip_on_launch != true])
    error_message = "No addresses by accident."
  }
}

run "nat_per_zone" {
  command = plan
  variables { nat = "per_zone" }

  assert {
    condition     = length(aws_nat_gateway.this) == 2
    error_message = "A NAT gateway in each zone."
  }
}

run "no_nat" {
  command = plan
  variables { nat = "none" }

  assert {
    condition     = length(aws_nat_gateway.this) == 0 && length(aws_subnet.private) == 0 && output.tasks_need_public_ip && length(output.task_subnet_ids) == 2
    error_message = "Tasks stand in the public subnets."
  }
}

run "refused" {
  command = plan

  variables {
    cidr_block = "10.0.0.0/28"
    zone_count = 1
    nat        = "two"
  }

  expect_failures = [var.cidr_block, var.zone_count, var.nat]
}
