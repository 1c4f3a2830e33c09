# The public end: HTTPS, one path, nothing else.

resource "aws_lb" "this" {
  name               = var.name
  load_balancer_type = "application"
  internal           = false # Firehose delivers to public endpoints only
  subnets            = var.load_balancer_subnet_ids
  security_groups    = [aws_security_group.load_balancer.id]

  idle_timeout               = local.load_balancer_idle_seconds
  drop_invalid_header_fields = true
  desync_mitigation_mode     = "defensive"
  enable_deletion_protection = var.deletion_protection
  tags                       = local.tags

  dynamic "access_logs" {
    for_each = var.access_logs[*]
    content {
      enabled = true
      bucket  = access_logs.value.bucket
      prefix  = access_logs.value.prefix
    }
  }

  lifecycle {
    precondition {
      condition     = local.request_deadline_seconds < local.load_balancer_idle_seconds && local.load_balancer_idle_seconds < local.gateway_idle_seconds
      error_message = "The request deadline must be below the load balancer's idle timeout, and that below the gateway's."
    }
  }
}

resource "aws_lb_target_group" "this" {
  name        = var.name
  vpc_id      = var.vpc_id
  target_type = "ip"
  protocol    = "HTTP"
  port        = local.ingest_port
  tags        = local.tags

  deregistration_delay          = local.deregistration_delay_seconds
  load_balancing_algorithm_type = "least_outstanding_requests"

  # /readyz answers 503 from the stop signal on; the port is the ingest port, the only one that is open.
  health_check {
    path                = "/readyz"
    port                = "traffic-port"
    protocol            = "HTTP"
    matcher             = "200"
    interval            = 5
    timeout             = 4
    healthy_threshold   = 2
    unhealthy_threshold = 2
  }

  lifecycle {
    precondition {
      condition     = local.deregistration_delay_seconds > local.request_deadline_seconds && local.deregistration_delay_seconds >= local.drain_deadline_seconds
      error_message = "Deregistration must let a request take its whole deadline."
    }
  }
}

resource "aws_lb_listener" "https" {
  load_balancer_arn = aws_lb.this.arn
  port              = 443
  protocol          = "HTTPS"
  ssl_policy        = var.tls_policy
  certificate_arn   = var.certificate_arn
  tags              = local.tags

  default_action {
    type = "fixed-response"

    fixed_response {
      status_code  = "404"
      content_type = "application/json"
      message_body = "{}"
    }
  }
}

resource "aws_lb_listener_rule" "firehose" {
  listener_arn = aws_lb_listener.https.arn
  priority     = 10
  tags         = local.tags

  condition {
    path_pattern {
      values = [var.path]
    }
  }

  action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.this.arn
  }
}

resource "aws_wafv2_web_acl_association" "this" {
  count = var.web_acl == null ? 0 : 1

  resource_arn = aws_lb.this.arn
  web_acl_arn  = var.web_acl.arn
}

resource "aws_route53_record" "this" {
  for_each = var.hosted_zone == null ? [] : toset(["A"])

  zone_id = var.hosted_zone.id
  name    = var.domain_name
  type    = each.value

  alias {
    name                   = aws_lb.this.dns_name
    zone_id                = aws_lb.this.zone_id
    evaluate_target_health = false
  }
}
